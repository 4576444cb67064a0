"""The cache beside a mailbox: what was worked out of its messages, for all sessions and for the next ones.

One file for a mailbox (`cache_file` has its form), which may be deleted at any time.  A process has each file open
once, however many of its sessions look at the mailbox, and only while one of them has asked for something.  What is put
is known at once in the process, and written by `flush` for the others.

Who writes holds a lock on the file; who would have to wait does not write.  Now and then the file is written anew,
sorted and without the messages that are gone, and put in place of the old one.  A file that is damaged, has another
UIDVALIDITY or has become too large is thrown away.  Nothing is synced: after a power loss the sums tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from mmap import ACCESS_READ, mmap
from operator import methodcaller
from typing import Any, Final
from weakref import WeakValueDictionary, ref
from zlib import crc32

from pillarbox.lib.store.index import cache_file
from pillarbox.lib.store.index.cache_file import Damaged, Table, Tail, key
from pillarbox.lib.store.interface import EMAIL_ID, Mailbox, MessageCache
from pillarbox.lib.system.files import write_all

FIELDS: Final = {EMAIL_ID: 1, "envelope": 2, "body": 3, "structure": 4, "header": 5, "preview": 6, "thread": 7}
"""The fields that are kept, and their numbers in the file (which must never change their meaning)."""

VALUE_LIMIT: Final = 16 * 1024
"""Octets of a value that is kept: a message with more is rare, and quick enough to look at again."""

FILE_LIMIT: Final = 512 * 1024 * 1024
"""Octets of a file: enough for some 500,000 messages."""

_PENDING_LIMIT: Final = 128 * 1024
"""Octets that are put before they are written without being asked."""

_WAITING_LIMIT: Final = 4 * _PENDING_LIMIT
"""Octets that wait, while another one writes, to be written the next time."""

_CARRIED: Final = 500
"""Messages whose values are taken to another mailbox together."""

_TAIL: Final = 512
"""Records of the tail, beside as many as are sorted, at which the file is sorted anew."""


class _Shared:
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
        table = self._tables.get(field)
        if table is not None and uids:
            first = table.index(uids[0])
            if first >= 0 and list(table.uids[first : first + len(uids)]) == list(uids):
                return self._rows(table, first, first + len(uids))
        found = [self._known(field, uid) for uid in uids]
        if None in found:
            self.absent[field] = {uid for uid, value in zip(uids, found, strict=True) if value is None}
        return found

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
        fd = os.open(self.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
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
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if sum(map(len, pending.values())) < _WAITING_LIMIT:
                    self._pending, self._pending_size = pending, 0
                return  # else it will be worked out again
            about = os.fstat(fd)
            if about.st_size < cache_file.HEADER.size:
                os.ftruncate(fd, 0)
                write_all(fd, cache_file.new_header(self.uid_validity))
            elif os.stat(self.path).st_ino != about.st_ino:
                return  # sorted anew at this moment
            self._look()
            if self._inode != about.st_ino:
                return  # thrown away at this moment
            os.ftruncate(fd, self._end)  # what somebody began who was killed
            records = [cache_file.record(number & 0xFFFFFFFF, number >> 32, v) for number, v in pending.items()]
            if self._end + sum(map(len, records)) > FILE_LIMIT:
                raise Damaged("too large")
            self._append(fd, records, pending)
            if len(self._tail) > _TAIL + sum(len(table.uids) for table in self._tables.values()):
                self._sort()

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

    def _sort(self) -> None:
        """Write the file anew; the caller has the lock."""
        owner = self.owner() if self.owner is not None else None
        living = owner.messages.uids if owner is not None else None
        new = f"{self.path}.{os.getpid()}"
        data = self._mapped(self._end)
        try:
            with open(new, "wb", buffering=1 << 20, opener=_private) as file:
                file.writelines(cache_file.packed(data, self._tables, self._tail, self.uid_validity, living))
            os.rename(new, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self._look()

    def values(self, uids: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, bytes]]:
        """Field, new UID and value of all that is known of these messages.  Raises OSError, Damaged, ValueError."""
        found = []
        for field in FIELDS.values():
            values = zip(new, self.get_many(field, uids), strict=True)
            found += [(field, uid, value) for uid, value in values if value is not None]
        self.absent.clear()
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
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


_open: Final[WeakValueDictionary[tuple[str, int, int], _Shared]] = WeakValueDictionary()
"""By path, UIDVALIDITY and thread: a thread beside the sessions' is to the file what another process is."""


def _file_at(path: str, uid_validity: int) -> _Shared:
    where = path, uid_validity, threading.get_ident()
    found = _open.get(where)
    if found is None:
        found = _open[where] = _Shared(path, uid_validity)
    return found


class FileCache(MessageCache):
    """The cache as one mailbox view uses it."""

    def __init__(self, path: str, owner: Mailbox) -> None:
        """`path` need not exist; nothing is asked of `owner` before the first use."""
        self._path = path
        self._owner: Mailbox | None = owner  # until it is closed, so that no circle is left
        self._file: _Shared | None = None

    def _shared(self) -> _Shared:
        if self._file is None:
            found = self._file = _file_at(self._path, self._owner.uid_validity if self._owner is not None else 0)
            if self._owner is not None:
                found.owner = ref(self._owner)
        return self._file

    def get(self, field: str, uid: int) -> bytes | None:
        number = FIELDS.get(field)
        if number is None:
            return None
        file = self._shared()
        try:
            return file.get(number, uid)
        except (Damaged, ValueError):
            file.throw_away()
        except OSError:
            pass
        return None

    def get_many(self, field: str, uids: Sequence[int]) -> Sequence[bytes | None]:
        number = FIELDS.get(field)
        if number is not None:
            file = self._shared()
            try:
                return file.get_many(number, uids)
            except (Damaged, ValueError):
                file.throw_away()
            except OSError:
                pass
        return [None] * len(uids)

    def put(self, field: str, uid: int, value: bytes) -> None:
        number = FIELDS.get(field)
        if number is None or len(value) > VALUE_LIMIT:
            return
        self._quietly(self._shared(), methodcaller("put", number, uid, value))

    def missed(self, field: str, uid: int) -> bool:
        if self._file is None or not self._file.absent:
            return False
        return uid in self._file.absent.get(FIELDS[field], ())

    def carry(self, place: str, uid_validity: int, uids: Sequence[int], new: Sequence[int]) -> None:
        if not uids or self._owner is None or (self._file is None and not os.path.exists(self._path)):
            return
        # Copying may go on in a thread of its own, beside sessions that look at the same mailboxes.
        file, other = _file_at(self._path, self._owner.uid_validity), _file_at(place, uid_validity)
        for start in range(0, len(uids) if other is not file else 0, _CARRIED):
            part = slice(start, start + _CARRIED)
            values = self._quietly(file, methodcaller("values", uids[part], new[part]))
            if values:
                self._quietly(other, methodcaller("put_all", values))

    def flush(self) -> None:
        if self._file is not None:
            self._quietly(self._file, methodcaller("flush"))

    def _quietly(self, file: _Shared, step: Callable[[_Shared], Any]) -> Any:
        """What the step gives; None where the file is damaged or cannot be used."""
        try:
            return step(file)
        except (Damaged, ValueError):
            file.throw_away()
        except OSError:
            pass  # no room, no right: the next session works it out again
        return None

    def close(self) -> None:
        self.flush()
        self._file = self._owner = None
