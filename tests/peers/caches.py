"""Private memcached and Redis servers on a loopback port, without disk.

with Redis(password="secret") as server:
    server.ask("SET", "key", "value")
with Memcached() as server:
    server.ask("set key 0 0 5\\r\\nvalue")
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path

from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds


class _Cache(PrivateServer):
    name: str

    def __init__(self) -> None:
        self._peer = peer(self.name)
        self.address, self.port = LOOPBACK, free_port()
        self.label = f"{self.name} at {self.address}:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _hello(self) -> bytes:
        """A request that anybody may make, with an answer of one line."""
        raise NotImplementedError

    def start(self) -> None:
        self.process = self._peer.start(self._command(), output=self.directory / "output")
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
            # A port accepts connections before the server has its other sockets, or has found that it cannot have them.
            self._say(self._hello())
        except AssertionError as error:
            raise AssertionError(f"{self.name} does not start: {error}\n" + "\n".join(self.log_lines())) from error

    def stop(self) -> None:
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def log_lines(self) -> list[str]:
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _say(self, request: bytes, answers: int = 1) -> bytes:
        """Send it, and give what comes: so many lines at least."""
        with socket.create_connection((self.address, self.port), 10) as connection:
            connection.sendall(request)
            received = b""
            while received.count(b"\r\n") < answers and (chunk := connection.recv(65536)):
                received += chunk
        return received


class Memcached(_Cache):
    """memcached."""

    name = "memcached"

    def _command(self) -> list[str | Path]:
        return ["memcached", "-u", "root", "-l", self.address, "-p", str(self.port), "-U", "0", "-m", "8", "-t", "1"]

    def _hello(self) -> bytes:
        return b"version\r\n"

    def ask(self, line: str) -> str:
        """The first line of the answer to a command."""
        return self._say(line.encode() + b"\r\n").split(b"\r\n")[0].decode()


class Redis(_Cache):
    """Redis, with a password where one is given."""

    name = "redis"

    def __init__(self, password: str = "") -> None:
        super().__init__()
        self.password = password
        self.socket = self.directory / "socket"

    def _command(self) -> list[str | Path]:
        settings = {"bind": self.address, "port": str(self.port), "unixsocket": str(self.socket), "save": ""}
        settings |= {"dir": str(self.directory), "daemonize": "no"}
        if self.password:
            settings["requirepass"] = self.password
        return ["redis-server", *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def _hello(self) -> bytes:
        return b"PING\r\n"

    def ask(self, *words: str, db: int = 0) -> str:
        """The first line of the answer to a command."""
        commands = [("AUTH", self.password)] if self.password else []
        commands += [("SELECT", str(db)), words]
        request = b""
        for command in commands:
            request += b"*%d\r\n" % len(command)
            request += b"".join(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in command)
        return self._say(request, len(commands)).split(b"\r\n")[len(commands) - 1].decode()
