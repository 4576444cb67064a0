"""Policy servers of others: postgrey on a TCP port, and a program per connection, as Postfix's spawn(8) runs them.

with Postgrey(delay=1) as postgrey:
    ...  check_policy_service inet:127.0.0.1:{postgrey.port}
with Spawned(peer("policyd-spf"), ["policyd-spf", config], path) as spf:
    ...  check_policy_service unix:{path}
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.lab.processes import end_tree
from tests.peers.install import peer
from tests.peers.peer import Peer, namespace


class Postgrey:
    """A greylist that begins empty.  `delay` is in seconds."""

    def __init__(self, delay: int) -> None:
        self.port = free_port()
        self._delay = delay
        self._directory = Path(tempfile.mkdtemp(prefix="postgrey-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for name in ("clients", "recipients"):
            (self._directory / name).write_text("")
        user = "root" if os.getuid() == 0 else str(os.getuid())
        self._process = peer("postgrey").start(
            [
                "postgrey",
                f"--inet={LOOPBACK}:{self.port}",
                f"--dbdir={self._directory}",
                f"--delay={self._delay}",
                f"--user={user}",
                f"--group={user}",
                f"--whitelist-clients={self._directory / 'clients'}",
                f"--whitelist-recipients={self._directory / 'recipients'}",
            ],
            output=self._directory / "log",
        )
        try:
            wait_for_port(LOOPBACK, self.port, alive=self._process)
        except AssertionError:
            self.stop()
            print((self._directory / "log").read_text())
            raise
        return self

    def stop(self) -> None:
        """End it, as a crash would."""
        if self._process is not None:
            end_tree(self._process.pid)
            self._process.wait()
            self._process = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


class Spawned:
    """A program for each connection to a UNIX socket, with the connection as its standard input and output.

    `mounts` are as in `Peer.start`.
    """

    def __init__(
        self, program: Peer, arguments: Sequence[str | Path], path: Path, mounts: Mapping[Path, Path] | None = None
    ) -> None:
        self._program = program
        self._command = program.command(arguments)
        if mounts:
            self._command = namespace(self._command, mounts)
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.connections = 0

    def __enter__(self) -> Self:
        self._listener.bind(str(self._path))
        self._path.chmod(0o666)
        self._listener.listen()
        self._thread.start()
        return self

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._processes.append(
                    subprocess.Popen(
                        self._command, env=self._program.environment(), stdin=connection, stdout=connection
                    )
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for process in self._processes:
            process.terminate()
            process.wait(10)
