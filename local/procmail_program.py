"""Running the programs of recipes: input in pieces, output to whoever wants it, an end in time.

Promises: what `lib.delivery.command` does for commands: a session of its own, nothing open but the standard three, and
the whole process group killed at the time limit.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_PIECE: Final = 65536


class NotRun(Exception):
    """The program could not be started, or was ended because its time was over; the text says which."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program finds: variables, directory, umask, and the descriptor for its complaints."""

    environment: Mapping[bytes, bytes]
    directory: str
    umask: int
    errors: int


def run_program(
    argv: Sequence[bytes],
    feed: Iterable[bytes],
    sink: Callable[[bytes], None],
    around: Surroundings,
    time_limit: float,
) -> tuple[int, bool]:
    """Run to the end; `sink` gets the output.  Gives the exit status (negative: a signal) and whether all was taken.

    Raises NotRun; what `sink` and `feed` raise ends the program.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=around.errors,
            cwd=around.directory,
            env=around.environment,
            umask=around.umask,
            close_fds=True,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NotRun(f'Failed to execute "{os.fsdecode(argv[0])}": {reason}') from error
    try:
        fed = _converse(process, iter(feed), sink, time.monotonic() + time_limit)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()
    return process.returncode, fed


def _converse(
    process: subprocess.Popen[bytes], feed: Iterator[bytes], sink: Callable[[bytes], None], deadline: float
) -> bool:
    """Feed it and read from it until it ends; whether it took everything.  Raises NotRun at the deadline."""
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    pending = memoryview(b"")
    fed, open_input = True, True
    ended = os.pidfd_open(process.pid)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ended)
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise NotRun("its time was over")
            ready = {key.fd for key, _ in selector.select(min(remaining, 1.0))}
            if stdout in ready:
                data = os.read(stdout, _PIECE)
                if data:
                    sink(data)
                else:
                    selector.unregister(stdout)
            if stdin in ready:
                try:
                    while not pending:
                        pending = memoryview(next(feed))
                    pending = pending[os.write(stdin, pending) :]
                except StopIteration:
                    open_input = False
                except BlockingIOError:
                    pass
                except BrokenPipeError:
                    open_input = fed = False
                if not open_input:
                    selector.unregister(stdin)
                    with contextlib.suppress(OSError):
                        process.stdin.close()
            if ended in ready and stdout not in ready:
                # What it did not read before it ended it did not take.
                return fed and not (open_input and (pending or next(feed, b"")))
