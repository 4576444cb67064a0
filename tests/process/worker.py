"""A worker process of a program, made as master makes it, on sockets of the test."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pillarbox.lib.config import Config, Service
from pillarbox.lib.log import log
from pillarbox.lib.log.logger import file_destination
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.process.worker import FAILED, FREE, FULL, READY, RETIRE, WAKE, enter

PATIENCE = 20.0

__all__ = ["FAILED", "FREE", "FULL", "READY", "RETIRE", "WAKE", "Running", "running", "start"]


class Running:
    """The process, seen from master."""

    def __init__(self, pid: int, status: socket.socket, listener: socket.socket, logfile: Path) -> None:
        self.pid = pid
        self.status = status
        self.listener = listener
        self.logfile = logfile
        self.said = b""
        self._code: int | None = None

    # --- what it says
    def hear(self, *, wait: float = 0.0) -> bytes:
        """Take in status bytes; all of them so far."""
        while select.select([self.status], [], [], wait)[0]:
            data = self.status.recv(4096)
            if not data:
                break
            self.said += data
        return self.said

    def until_said(self, message: bytes, count: int = 1) -> None:
        """Wait until a status byte has come so often."""
        self.until(lambda: self.hear().count(message) >= count)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass; said {self.said!r}, log: {self.lines}"
            time.sleep(0.005)

    @property
    def lines(self) -> list[str]:
        """The texts of its log lines."""
        return [line.partition("]: ")[2] for line in self.logfile.read_text().splitlines()]

    @property
    def title(self) -> str:
        """What ps shows."""
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()

    @property
    def descriptors(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def sessions(self) -> int:
        """Connections that it has accepted and that are open: its UNIX stream sockets beside listener and status."""
        path = self.listener.getsockname()
        listed = Path("/proc/net/unix").read_text().splitlines()
        return sum(line.endswith(f" {path}") for line in listed) - 1

    # --- what is done to it
    def kill(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wake(self) -> None:
        """What master sends by the clock."""
        self.status.send(WAKE)

    def retire(self) -> None:
        """What master sends to a process that another one has replaced."""
        self.status.send(RETIRE)

    def end(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        if self._code is None:
            deadline = time.monotonic() + PATIENCE
            while True:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
                    break
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                    os.waitpid(self.pid, 0)
                    self._code = -signal.SIGKILL
                    raise AssertionError(f"the process does not end; log: {self.lines}")
                time.sleep(0.002)
        return self._code

    @property
    def alive(self) -> bool:
        if self._code is not None:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._code = os.waitstatus_to_exitcode(status)
        return not pid

    def stop(self) -> int:
        """As master stops it."""
        if self.alive:
            self.kill(signal.SIGTERM)
        return self.end()


def start(
    program: Program, config: Config, path: Path, service: Service | None = None, *, spare: bool = False
) -> Running:
    """Fork the process; it listens on `path`."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    listener.setblocking(False)
    ours, theirs = socket.socketpair()
    logfile = path.with_name(f"{path.name}.log")
    # Neither another user nor confinement: this is about the skeleton, tests/breach is about those.
    program = replace(program, owner="", confinement=None)
    pid = os.fork()
    if pid == 0:
        ours.close()
        descriptor = os.open(logfile, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        log.configure("pillarbox/test", file_destination(descriptor))
        enter(Worker(program, service or Service(program.name, program.name), config, [listener], theirs, spare=spare))
    theirs.close()
    return Running(pid, ours, listener, logfile)


@contextlib.contextmanager
def running(
    program: Program, config: Config, path: Path, service: Service | None = None, *, spare: bool = False
) -> Iterator[Running]:
    """A process that is ready, and stopped at the end."""
    process = start(program, config, path, service, spare=spare)
    try:
        process.until_said(READY)
        yield process
    finally:
        process.stop()
        process.status.close()
        process.listener.close()
