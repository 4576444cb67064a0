"""An interpreter that has imported the suite already, and forks for each command that it is to run.

Most of the work of a short command, and two thirds of that of a start, is importing.  `Instance` lets its commands run
here where that makes no difference to what is tested: the process that runs one has the arguments, environment,
directory and standard streams that it would have after an exec, and nothing else open; what it leaves behind, a master
for instance, is nobody's child.  Not here: other users (a process that changes its user without an exec may not look
at itself in /proc), virtual clocks, and tests of what a process costs.

As a script this is the server.  It lives until its socket is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

SOURCES = Path(__file__).resolve().parents[2] / "src"

_FEW = 64  # descriptors: more than a process of the server has
_LONGEST_REQUEST = 1 << 20


class Prepared:
    """The client's side; one serves all threads of a process, and is started with its first command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._surroundings = _surroundings()
        self._owner = 0

    def fits(self) -> bool:
        """Whether a command would live here as below the calling thread: with its network, mounts and limits."""
        return self._surroundings == _surroundings()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        streams: Sequence[IO[bytes]],
        environment: Mapping[str, str],
        directory: Path,
        timeout: float,
    ) -> int:
        """Run a module as a program, if it `fits`; `streams` are its standard streams.

        Returns its status, -N where signal N ended it.  Raises subprocess.TimeoutExpired, having killed it.
        """
        request = [module, list(arguments), dict(environment), str(directory)]
        ours, theirs = os.pipe()
        with open(ours, "rb", buffering=0) as answer:
            try:
                with self._lock:
                    descriptors = [*(stream.fileno() for stream in streams), theirs]
                    socket.send_fds(self._connection(), [json.dumps(request).encode()], descriptors)
            finally:
                os.close(theirs)
            if not (said := answer.read(16)):
                raise AssertionError(f"the prepared interpreter has ended: {self._process.poll()}")
            pid = int(said)
            if not select.select([answer], [], [], timeout)[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([module, *arguments], timeout)
            return os.waitstatus_to_exitcode(int(answer.read(16)))

    def _connection(self) -> socket.socket:
        if self._socket is None or self._owner != os.getpid():  # a process that a test has forked has its own
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST_REQUEST)
            self._owner = os.getpid()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", __file__, str(theirs.fileno())],
                    env={**os.environ, "PYTHONPATH": str(SOURCES)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                )
        return self._socket


def _surroundings() -> object:
    spaces = [os.readlink(f"/proc/thread-self/ns/{kind}") for kind in ("net", "mnt", "pid", "user")]
    return spaces, [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)]


PREPARED = Prepared()


def _serve(control: socket.socket) -> None:
    setproctitle = importlib.import_module("setproctitle")
    for program in sorted(SOURCES.glob("pillarbox/*/program.py")):
        importlib.import_module(f"pillarbox.{program.parent.name}.program")
    for command in sorted(SOURCES.glob("pillarbox/commands/*.py")):
        importlib.import_module(f"pillarbox.commands.{command.stem}")
    # Where a title can be written is found only as long as the environment is the one that the process began with.
    setproctitle.getproctitle()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes between here and the commands
    while True:
        text, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, 4)
        if not text:
            return
        if os.fork() == 0:
            _see_to(json.loads(text), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _see_to(request: tuple[str, list[str], dict[str, str], str], descriptors: list[int]) -> None:
    """Between the server and a command: start it, and say its process id and its status.  Does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, answer = descriptors
        pid = os.fork()
        if pid == 0:
            _become(request, streams)
        os.write(answer, b"%16d" % pid)
        os.write(answer, b"%16d" % os.waitpid(pid, 0)[1])
    finally:
        os._exit(0)


def _become(request: tuple[str, list[str], dict[str, str], str], streams: list[int]) -> None:
    """Be the command.  Does not return."""
    status = 1
    try:
        module, arguments, environment, directory = request
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.closerange(3, _FEW)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.argv[1:] = arguments
        sys.modules.pop(module, None)  # else runpy warns that it runs what is imported
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status & 0xFF)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _control:
        _serve(_control)
