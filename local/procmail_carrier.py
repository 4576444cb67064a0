"""The hands of procmail recipes: what `lib.procmail` decides is done here, as the user and with the user's rights only.

Promises: what recipes keep of a message lies in unnamed files of FILTERED_LIMIT bytes at most; programs end with the
time of the whole; the log file that a user names is opened without following links of others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from pillarbox.lib.procmail.carrier import CarrierError, Place, Program, Ran
from pillarbox.lib.procmail.errors import LimitReached
from pillarbox.lib.procmail.mail import Letter, Mail, mail_of
from pillarbox.lib.procmail.parser import SIZE_LIMIT
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import MailboxBusy, StoreError
from pillarbox.lib.store.locks import acquire_dot_lock, release_dot_lock
from pillarbox.lib.system.files import write_all
from pillarbox.local.procmail_folders import FolderOptions, is_directory, store
from pillarbox.local.procmail_program import NotRun, Surroundings, run_program

FILTERED_LIMIT: Final = 1 << 30
"""Bytes that a filter may make of a message, on disk: more is no mail."""
REMARKS: Final = 20
"""Lines of the log that are kept where there is no log file."""
NEVER: Final = 10.0 * 365 * 86400


def native(text: str) -> str:
    """Octets as the characters 0 to 255, as the name of a file."""
    return os.fsdecode(text.encode("latin-1"))


def octets(text: str) -> str:
    """The other way round."""
    return os.fsencode(text).decode("latin-1")


class LocalCarrier:
    """Carries out one message's recipes.  `deadline` in the seconds of time.monotonic."""

    def __init__(
        self,
        name: str,
        folders: FolderOptions,
        host: str,
        deadline: float,
        lock_spool: Callable[[], None] | None = None,
    ) -> None:
        """`lock_spool` as in `Destinations`."""
        self.host = host
        self.process = os.getpid()
        self.failure: DeliveryFailure | None = None
        self.remarks: list[str] = []
        self._name = name
        self._folders = folders
        self._deadline = deadline
        self._lock_spool = lock_spool
        self._kept: list[int] = []
        self._locks: set[str] = set()

    def close(self) -> None:
        """Remove what is left of locks and unnamed files."""
        for lock in self._locks:
            with contextlib.suppress(OSError):
                release_dot_lock(lock)
        for fd in self._kept:
            os.close(fd)
        self._locks.clear()
        self._kept.clear()

    def _remaining(self, wanted: float = 0.0) -> float:
        """The seconds that a step may take.  Raises LimitReached."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise LimitReached(self._name, 0, "an end within command_time_limit is expected")
        return min(remaining, wanted) if wanted > 0 else remaining

    # --- programs

    def run(self, program: Program, feed: Iterable[bytes], place: Place, limit: int) -> Ran:
        output = bytearray()
        size = 0

        def keep(data: bytes) -> None:
            nonlocal size
            size += len(data)
            output.extend(data[: limit - len(output)])

        with self._log_descriptor(place) as log:
            sink: Callable[[bytes], None] = keep if limit else lambda data: write_all(log, data)
            status, fed = self._program(program, feed, sink, place, log)
        return Ran(status, bytes(output), fed, size > len(output) and limit > 0)

    def _program(
        self, program: Program, feed: Iterable[bytes], sink: Callable[[bytes], None], place: Place, log: int
    ) -> tuple[int, bool]:
        environment = {
            name.encode("latin-1"): value.encode("latin-1")
            for name, value in place.environment.items()
            if "\0" not in value
        }
        around = Surroundings(environment, native(place.directory), place.umask, log)
        argv = [argument.encode("latin-1") for argument in program.argv]
        try:
            return run_program(argv, feed, sink, around, self._remaining(program.timeout))
        except NotRun as error:
            self._remaining()
            raise CarrierError(f'"{program.shown.strip()}": {error}') from error
        except OSError as error:
            raise CarrierError(f'"{program.shown.strip()}": {error.strerror}') from error

    def filter(
        self,
        program: Program,
        before: Iterable[bytes],
        feed: Iterable[bytes],
        behind: Iterable[bytes],
        place: Place,
    ) -> tuple[Ran, Mail]:
        fd = self._unnamed()
        size = 0

        def keep(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size > FILTERED_LIMIT:
                raise CarrierError(f'Excessive output quenched from "{program.shown.strip()}"')
            write_all(fd, data)

        try:
            for piece in before:
                keep(piece)
            with self._log_descriptor(place) as log:
                status, fed = self._program(program, feed, keep, place, log)
            for piece in behind:
                keep(piece)
        except OSError as error:
            raise CarrierError(f'"{program.shown.strip()}": {error.strerror}') from error
        return Ran(status, b"", fed), mail_of(lambda start, count: os.pread(fd, count, start), size)

    def keep(self, pieces: Iterable[bytes]) -> Mail:
        """A mail from its text, in an unnamed file.  Raises OSError."""
        fd = self._unnamed()
        size = 0
        for piece in pieces:
            write_all(fd, piece)
            size += len(piece)
        return mail_of(lambda start, count: os.pread(fd, count, start), size)

    def _unnamed(self) -> int:
        with tempfile.TemporaryFile() as scratch:
            fd = os.dup(scratch.fileno())
        self._kept.append(fd)
        return fd

    # --- folders

    def store(self, folders: Sequence[str], letter: Letter, place: Place) -> str:
        paths = [os.path.join(place.directory, folder) for folder in folders]
        options = self._options(place)
        names = []
        for index, path in enumerate(paths):
            if index and not is_directory(native(paths[0])):
                self.log(f'procmail: Skipped "{folders[index]}"\n', place)
                continue
            if index and not path.endswith(("/", "/.")) and not is_directory(native(path)):
                self.log(f'procmail: Unable to treat as directory "{folders[index]}"\n', place)
                continue
            try:
                written = store(native(path), letter, options)
            except (DeliveryFailure, EOFError) as error:
                if isinstance(error, EOFError):
                    raise
                if index == 0:
                    self.failure = error
                    raise CarrierError(f'Error while writing to "{folders[0]}": {error.text}') from error
                self.log(f'procmail: Error while writing to "{folders[index]}": {error.text}\n', place)
                continue
            shown = octets(written)
            names.append(
                folders[index]
                if written == native(path)
                else os.path.relpath(shown, place.directory)
                if not folders[index].startswith("/")
                else shown
            )
        return " ".join(names)

    def _options(self, place: Place) -> FolderOptions:
        folders = self._folders
        return FolderOptions(
            folders.size_limit,
            folders.owner,
            folders.inbox,
            folders.lock_timeout,
            native(place.environment.get("MSGPREFIX", "")).replace("/", "_"),
            place.umask,
        )

    def is_directory(self, path: str, place: Place) -> bool:
        return is_directory(native(os.path.join(place.directory, path)))

    def enter(self, path: str, place: Place) -> str:
        try:
            fd = os.open(native(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise CarrierError(getattr(error, "strerror", None) or str(error)) from error
        os.close(fd)
        return path

    def read(self, path: str, place: Place) -> str:
        try:
            fd = os.open(native(os.path.join(place.directory, path)), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise CarrierError("not a regular file")
                return read_all(fd).decode("latin-1")
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            raise CarrierError(getattr(error, "strerror", None) or str(error)) from error

    # --- locks

    def lock(self, path: str, place: Place, sleep: float, stale: float) -> None:
        name = native(path)
        stale_after = float(stale) if stale > 0 else NEVER
        try:
            acquire_dot_lock(name, self._remaining(), stale_after)
        except MailboxBusy as error:
            raise LimitReached(self._name, 0, f"an end of the lock {path} is expected") from error
        except StoreError as error:
            cause = error.__cause__
            refused = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
            if not refused or name != self._folders.inbox + ".lock":
                raise CarrierError(str(error)) from error
            self._locked_by_parent()
            return
        self._locks.add(name)

    def _locked_by_parent(self) -> None:
        """The lock of the inbox in a spool in which only root makes files; it is held until the job is done."""
        if self._lock_spool is not None:
            try:
                self._lock_spool()
            except StoreError as error:
                raise CarrierError(str(error)) from error

    def unlock(self, path: str, place: Place) -> None:
        name = native(path)
        if name in self._locks:
            self._locks.discard(name)
            with contextlib.suppress(OSError):
                release_dot_lock(name)

    # --- the log

    def log(self, text: str, place: Place) -> None:
        if not place.log_file:
            if len(self.remarks) < REMARKS and text.startswith("procmail: "):
                self.remarks.append(text[len("procmail: ") :].strip())
            return
        with self._log_descriptor(place) as log, contextlib.suppress(OSError):
            write_all(log, text.encode("latin-1", "replace"))

    @contextlib.contextmanager
    def _log_descriptor(self, place: Place) -> Iterator[int]:
        """The log file, or /dev/null where there is none or it cannot be written."""
        fd = -1
        if place.log_file:
            path = native(os.path.join(place.directory, place.log_file))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            with contextlib.suppress(OSError, ValueError):
                fd = os.open(path, flags, 0o666 & ~place.umask)
        if fd < 0:
            fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def read_all(fd: int) -> bytes:
    """A file's content; one byte more than SIZE_LIMIT where there is more than that."""
    data = b""
    while len(data) <= SIZE_LIMIT and (piece := os.read(fd, SIZE_LIMIT + 1 - len(data))):
        data += piece
    return data
