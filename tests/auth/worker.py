"""A program as a real worker process of the skeleton: dropped, confined, serving, and ending well when told to."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pillarbox.lib.config import Config, Service
from pillarbox.lib.process import Program
from pillarbox.lib.process.loop import preload
from pillarbox.lib.process.worker import READY, Worker, enter


@contextmanager
def running(program: Program, service: Service, config: Config, listener: socket.socket | None = None) -> Iterator[int]:
    """A worker that serves `listener`, by default the service's UNIX socket; gives its pid."""
    if listener is None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(config.socket_path(service.name))
        os.chmod(config.socket_path(service.name), 0o666)
        listener.listen(16)
    listener.setblocking(False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    preload()  # as master does: the program's user may not be able to read the interpreter's files
    pid = os.fork()
    if pid == 0:
        ours.close()
        enter(Worker(program, service, config.for_service(service), [listener], theirs))
    theirs.close()
    ours.settimeout(20)
    try:
        with listener:
            assert ours.recv(64) == READY, "the process did not get ready"
            yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ours.close()
    assert status == 0, "the process did not end well"
