"""A cache file (`cache_file`) as one thread of a process sees it: read, appended to, and now and then sorted anew.

What is put is known at once, and written by `flush` for the others.  Who writes holds a lock on the file; who would
have to wait does not write.  A large file is sorted in a thread while others go on writing: what they append meanwhile
is copied behind what is sorted.  Nothing is synced: after a power loss the sums tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from mmap import ACCESS_READ, mmap
from typing import Final
from weakref import ref
from zlib import crc32

from pillarbox.lib.store.index import cache_file
from pillarbox.lib.store.index.cache_file import Damaged, Table, Tail, key
from pillarbox.lib.store.interface import EMAIL_ID, Mailbox
from pillarbox.lib.system.files import write_all

FIELDS: Final = {EMAIL_ID: 1, "envelope": 2, "body": 3, "structure": 4, "header": 5, "preview": 6, "thread": 7}
"""The fields that are kept, and their numbers in the file (which must never change their meaning)."""

FILE_LIMIT: Final = 512 * 1024 * 1024
"""Octets of a file: enough for some 500,000 messages."""

_PENDING_LIMIT: Final = 128 * 1024
"""Octets that are put before they are written without being asked."""

_WAITING_LIMIT: Final = 16 * _PENDING_LIMIT
"""Octets that wait, while another one writes, to be written the next time."""

_PIECE: Final = 1 << 20
"""Octets that are copied at once."""

_TAIL: Final = 512
"""Records of the tail, beside as many as are sorted, at which the file is sorted anew."""

AT_ONCE: Final = 10_000
"""Values that are sorted in some 30 ms; more are sorted in a thread, so that the sessions of the process go on."""


class SharedFile:
    """A file as this process sees it."""

    def __init__(self, path: str, uid_validity: int) -> None:
        self.path = path
        self.uid_validity = uid_validity
        self.owner: ref[Mailbox] | None = None
        self._map: mmap | None = None
        self._inode = 0
        self._end = 0  # octets of the file that are known
        self._tables: dict[int, Table] = {}
        self._tail: Tail = {}
        self._pending: dict[int, bytes] = {}
        self._pending_size = 0
        self._looked = False
        self._sorter: threading.Thread | None = None
        self.absent: dict[int, set[int]] = {}  # by field: UIDs that were just asked for together, and are not there

    # --- reading
    def get(self, field: int, uid: int) -> bytes | None:
        """The value, None where there is none.  Raises Damaged, OSError, ValueError."""
        absent = self.absent.get(field)
        if absent is not None and uid in absent:
            absent.discard(uid)  # it is about to be worked out
            return self._pending.get(key(field, uid))
        self._intact()
        if not self._looked:
            self._look()
        found = self._known(field, uid)
        if found is None and self._look():
            found = self._known(field, uid)
        return found

    def _known(self, field: int, uid: int) -> bytes | None:
        number = key(field, uid)
        if (value := self._pending.get(number)) is not None:
            return value
        if (where := self._tail.get(number)) is not None:
            place, length = where >> 20, where & 0xFFFFF
            data = self._mapped(place + length)
            value = data[place : place + length]
            # Whoever found the disk full took back what it had written, and others wrote on from there.
            cache_file.check_record(data[place - cache_file.RECORD.size : place], number, value)
            return value
        table = self._tables.get(field)
        if table is None or (row := table.index(uid)) < 0:
            return None
        return self._row(table, row)

    def _row(self, table: Table, row: int) -> bytes:
        place = table.places[row]
        end = place + table.lengths[row]
        value = self._mapped(end)[place:end]
        if crc32(value) != table.sums[row]:
            raise Damaged("wrong check sum")
        return value

    def get_many(self, field: int, uids: Sequence[int]) -> Sequence[bytes | None]:
        """As `get`, for many."""
        self._intact()
        self._look()
        self.absent.pop(field, None)
        found = self._many(field, uids)
        if None in found:
            self.absent[field] = {uid for uid, value in zip(uids, found, strict=True) if value is None}
        return found

    def _many(self, field: int, uids: Sequence[int]) -> list[bytes | None]:
        table = self._tables.get(field)
        if table is not None and uids:
            first = table.index(uids[0])
            if first >= 0 and list(table.uids[first : first + len(uids)]) == list(uids):
                return self._rows(table, first, first + len(uids))
        return [self._known(field, uid) for uid in uids]

    def _rows(self, table: Table, start: int, stop: int) -> list[bytes | None]:
        """Neighbours, whose values lie one behind the other."""
        places, lengths, sums = table.places[start:stop], table.lengths[start:stop], table.sums[start:stop]
        data = self._mapped(places[-1] + lengths[-1])
        values: list[bytes | None] = [
            data[place : place + length] for place, length in zip(places, lengths, strict=True)
        ]
        if list(map(crc32, values)) != list(sums):  # type: ignore[arg-type]
            raise Damaged("wrong check sum")
        return values

    def _intact(self) -> None:
        """A mapped file that has become shorter must not be touched: that would end the process."""
        if self._map is not None and self._map.size() < len(self._map):
            self._forget_file()

    def _mapped(self, end: int) -> mmap:
        """The file, mapped at least up to `end`."""
        if self._map is None or len(self._map) < end:
            with self._file(os.O_RDONLY) as fd:
                about = os.fstat(fd)
                if about.st_ino != self._inode:
                    self._forget_file()
                    raise OSError(errno.ESTALE, "sorted anew at this moment")
                if about.st_size < end:
                    raise Damaged("shorter than it was")
                self._map = mmap(fd, 0, access=ACCESS_READ)
        return self._map

    @contextlib.contextmanager
    def _file(self, flags: int) -> Iterator[int]:
        fd = os.open(self.path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)

    def _look(self) -> bool:
        """Take in what others wrote; whether there was something."""
        self._looked = True
        try:
            about = os.stat(self.path)
        except FileNotFoundError:
            return False
        if about.st_ino == self._inode and about.st_size == self._end:
            return False
        if about.st_size < cache_file.HEADER.size:  # somebody has just made it
            self._forget_file()
            return False
        if about.st_ino != self._inode or about.st_size < self._end:
            self._forget_file()
            with self._file(os.O_RDONLY) as fd:
                about = os.fstat(fd)
                if about.st_size < cache_file.HEADER.size:  # an empty file cannot be mapped
                    return False
                self._map = mmap(fd, 0, access=ACCESS_READ)
            self._inode = about.st_ino
            size = len(self._map)
            self._tables, self._end = cache_file.read_tables(self._map, size, self.uid_validity)
        else:
            size = about.st_size
        data = self._mapped(size)
        begun = self._end
        for uid, field, place, length in cache_file.read_records(data, begun, size):
            self._tail[key(field, uid)] = place << 20 | length
            self._end = place + length
        return self._end > begun or bool(self._tables)

    def _forget_file(self) -> None:
        self._tables, self._tail, self._map, self._inode, self._end = {}, {}, None, 0, 0

    # --- writing
    def put(self, field: int, uid: int, value: bytes) -> None:
        """Remember."""
        if absent := self.absent.get(field):
            absent.discard(uid)
        self._pending[key(field, uid)] = value
        self._pending_size += len(value) + cache_file.RECORD.size
        if self._pending_size > _PENDING_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Write what was put.  Raises OSError, Damaged."""
        if not self._pending:
            return
        pending, self._pending, self._pending_size = self._pending, {}, 0
        with self._file(os.O_RDWR | os.O_APPEND | os.O_CREAT) as fd:
            if not self._lock(fd):
                if sum(map(len, pending.values())) < _WAITING_LIMIT:
                    self._pending = pending
                return  # else it will be worked out again
            os.ftruncate(fd, self._end)  # what somebody began who was killed
            records = [cache_file.record(number & 0xFFFFFFFF, number >> 32, v) for number, v in pending.items()]
            if self._end + sum(map(len, records)) > FILE_LIMIT:
                raise Damaged("too large")
            self._append(fd, records, pending)
            known = sum(len(table.uids) for table in self._tables.values())
            if len(self._tail) > _TAIL + known:
                if len(self._tail) + known <= AT_ONCE:
                    self._sort(self._living())
                elif self._sorter is None or not self._sorter.is_alive():
                    self._sorter = threading.Thread(
                        target=_sort_apart, args=(self.path, self.uid_validity, self._living()), name="cache-sorter"
                    )
                    with contextlib.suppress(RuntimeError):  # no thread to be had: later
                        self._sorter.start()

    def _lock(self, fd: int) -> bool:
        """Lock the file and take in what others wrote; False where another one writes or has put a new one there."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        about = os.fstat(fd)
        if about.st_size < cache_file.HEADER.size:
            os.ftruncate(fd, 0)
            write_all(fd, cache_file.new_header(self.uid_validity))
        self._look()
        return self._inode == about.st_ino

    def _append(self, fd: int, records: list[bytes], pending: dict[int, bytes]) -> None:
        try:
            write_all(fd, b"".join(records))
        except OSError:
            os.ftruncate(fd, self._end)
            raise
        for number, text in zip(pending, records, strict=True):
            length = len(pending[number])
            self._tail[number] = self._end + len(text) - length << 20 | length
            self._end += len(text)

    def _living(self) -> array[int] | None:
        """The UIDs that are there now; None where nobody can tell."""
        owner = self.owner() if self.owner is not None else None
        return array("I", owner.messages.uids) if owner is not None else None

    def sort(self, living: array[int] | None) -> None:
        """Write the file anew while others go on writing.  Raises OSError, Damaged, ValueError."""
        with self._file(os.O_RDWR) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._look()
            inode, end = self._inode, self._end
            fcntl.flock(fd, fcntl.LOCK_UN)
            if inode != os.fstat(fd).st_ino:
                return  # another one was quicker
            with self._sorted(living) as new:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.stat(self.path).st_ino != inode:
                    raise OSError(errno.ESTALE, "thrown away meanwhile")
                with open(new, "ab", buffering=0) as file:
                    while piece := os.pread(fd, _PIECE, end):
                        write_all(file.fileno(), piece)
                        end += len(piece)
                os.rename(new, self.path)

    def _sort(self, living: array[int] | None) -> None:
        """Write the file anew; the caller has the lock."""
        with self._sorted(living) as new:
            os.rename(new, self.path)
        self._look()

    @contextlib.contextmanager
    def _sorted(self, living: array[int] | None) -> Iterator[str]:
        """A file with what is known of this one, sorted; it is gone afterwards where it was not given another name."""
        new = f"{self.path}.{os.getpid()}-{threading.get_native_id()}"
        data = self._mapped(self._end)
        try:
            with open(new, "wb", buffering=1 << 20, opener=_private) as file:
                file.writelines(cache_file.packed(data, self._tables, self._tail, self.uid_validity, living))
            yield new
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise

    def values(self, uids: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, bytes]]:
        """Field, new UID and value of all that is known of these messages.  Raises OSError, Damaged, ValueError."""
        self._intact()
        self._look()
        found = []
        for field in FIELDS.values():
            values = zip(new, self._many(field, uids), strict=True)
            found += [(field, uid, value) for uid, value in values if value is not None]
        return found

    def put_all(self, values: Sequence[tuple[int, int, bytes]]) -> None:
        """Remember, and write."""
        for field, uid, value in values:
            self.put(field, uid, value)
        self.flush()

    def throw_away(self) -> None:
        """Delete the file; what is wanted will be worked out again."""
        self._forget_file()
        self._pending, self._pending_size = {}, 0
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _sort_apart(path: str, uid_validity: int, living: array[int] | None) -> None:
    file = SharedFile(path, uid_validity)
    try:
        file.sort(living)
    except (Damaged, ValueError):
        file.throw_away()
    except OSError:
        pass  # no room: it goes on growing, and begins anew in the end
