"""Handing a message to a command: environment, time limit, output, and what its end means.

Promises: the command runs as this process's user, in a session of its own, with nothing open but its three standard
descriptors; it is killed with its whole process group at the time limit; of its output 4 KB are kept, the rest is read
and thrown away.  The caller must be the right user already.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import string
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pillarbox.lib.delivery.sysexits import SYSEXITS
from pillarbox.lib.store.failure import DeliveryFailure

OUTPUT_LIMIT: Final = 4096
"""Bytes of the command's output that go into the log and the bounce."""
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
"""Search path of commands: never the one that the suite was started with."""
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "!@%-_=+:,./ \t")
"""A command made of these alone needs no shell (local(8))."""
_STATUS_CODE = re.compile(r"([45]\.\d{1,3}\.\d{1,3})[ \t]+(.*)", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


def filtered(value: str, allowed: str) -> str:
    """`value` with every character outside `allowed` replaced by `_`: what an outsider chose must not reach a shell."""
    return "".join(character if character in allowed else "_" for character in value)


def command_line(command: str, shell: str = "/bin/sh") -> list[str]:
    """The argument list: split at blanks where nothing in it is special to a shell, else a shell with the text."""
    words = command.split()
    if words and all(character in _PLAIN for character in command) and _is_program(words[0]):
        return words
    return [shell, "-c", command]


def _is_program(name: str) -> bool:
    """Whether exec would find it; a shell built-in it would not."""
    if "/" in name:
        return True
    return any(os.access(f"{directory}/{name}", os.X_OK) for directory in PATH.split(":"))


def run_command(
    argv: Sequence[str],
    content: Iterable[bytes],
    environment: Mapping[str, str],
    *,
    directory: str,
    time_limit: float,
    shown: str = "",
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Run `argv` with `content` on its standard input until it ends.  `shown` stands for it in messages.

    `alive` is called about once a second meanwhile: for the watchdog of a process that waits here.

    Raises DeliveryFailure as its exit status, signal, output or the time limit (seconds) say.
    """
    shown = shown or " ".join(argv)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(environment),
            close_fds=True,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise DeliveryFailure("4.3.0", f'cannot run command "{shown}": {error}') from error
    try:
        output, in_time = _converse(process, iter(content), time.monotonic() + time_limit, alive)
    finally:
        _end(process)
    if not in_time:
        raise DeliveryFailure("5.3.0", f'Command time limit exceeded: "{shown}"')
    judge_status(process.returncode, shown, output)


def _converse(
    process: subprocess.Popen[bytes], content: Iterator[bytes], deadline: float, alive: Callable[[], None]
) -> tuple[bytes, bool]:
    """Feed the command and read from it until it ends; its output and whether that was in time."""
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    output = b""
    pending = memoryview(b"")
    ended = os.pidfd_open(process.pid)
    with selectors.DefaultSelector() as selector, _closing(ended):
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return output, False
            ready = {key.fd for key, _ in selector.select(min(remaining, 1.0))}
            alive()
            if stdout in ready:
                data = os.read(stdout, 65536)
                if not data:
                    selector.unregister(stdout)
                output += data[: OUTPUT_LIMIT - len(output)]
            if stdin in ready:
                if not pending:
                    pending = memoryview(next(content, b""))
                if not pending:
                    selector.unregister(stdin)
                    process.stdin.close()
                else:
                    try:
                        pending = pending[os.write(stdin, pending) :]
                    except BlockingIOError:
                        pass
                    except BrokenPipeError:
                        # It need not read everything; its exit status says whether all is well.
                        selector.unregister(stdin)
                        with contextlib.suppress(OSError):
                            process.stdin.close()
            if ended in ready and stdout not in ready:
                return output, True


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Reap the command; what is left of its group when it is over time goes with it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


def judge_status(status: int, shown: str, output: bytes) -> None:
    """Raise the DeliveryFailure that an exit status means (negative: a signal); nothing for 0."""
    if status == 0:
        return
    said = _UNPRINTABLE.sub(" ", output.decode("utf-8", "replace")).strip()
    more = f". Command output: {said}" if said else ""
    if status < 0:
        raise DeliveryFailure("4.3.0", f'Command died with signal {-status}: "{shown}"{more}')
    if match := _STATUS_CODE.match(said):
        raise DeliveryFailure(match[1], match[2])
    if status in SYSEXITS:
        code, meaning = SYSEXITS[status]
        raise DeliveryFailure(code, meaning + more)
    raise DeliveryFailure("5.3.0", f'Command died with status {status}: "{shown}"{more}')
