"""Dovecot's `dovecot-uidlist`: which UID each Maildir file has.  Read and written in place, so that an adopted
mailbox keeps its UIDs and both servers could serve it in turn.

Version 3:  `3 V<uidvalidity> N<next uid> G<128-bit hex guid>`, then one line per message
`<uid> [W<wire size> S<size> P<pop3 uidl> ...] :<last known file name>`.  Version 1 (Courier, old Dovecot):
`1 <uidvalidity> <next uid>`, then `<uid> <file name>`.  A file is identified by its base name, without flags.

Promises: lines are appended under the lock and synced; a half-written last line (power loss) is never taken for a
name, and the next writer replaces the whole file by rename.  A base name that stands twice has the later, higher UID.
Lines of vanished messages stay until the next rewrite: harmless, and `next_uid` never goes back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.system.files import READING, sync_directory, write_all, write_file

NAME: Final = "dovecot-uidlist"
_HEADER3 = re.compile(r"3(?: |\Z)")
_HEADER1 = re.compile(r"1 ([0-9]{1,10}) ([0-9]{1,10})\Z")
_MAX_UID: Final = 0xFFFFFFFF
_MAX_HEADER: Final = 512
"""Octets of a first line that is looked at again."""
_MAX_BYTES: Final = 1 << 30
"""A list of ten million messages; more is not a UID list."""


@dataclass(slots=True)
class UidList:
    """The list in memory."""

    uid_validity: int
    next_uid: int = 1
    guid: str = ""
    uids: dict[str, int] = field(default_factory=dict)
    """Base name to UID, in ascending order of UID."""
    extensions: dict[int, str] = field(default_factory=dict)
    """UID to its fields between UID and name (`W123 P...`), kept as they are."""
    damaged: bool = False
    """Lines were unreadable or the format is old: the next writer must replace the file."""
    end: int = 0
    """Length of the file as parsed, to read only what was appended since."""
    older: bool = False
    """The file lacks UIDs that have been given: it was put back from a backup."""
    skipped: int = -1
    """Lines at the beginning that were not read because the index has them; -1: all were."""

    @property
    def lines(self) -> int:
        """Messages that the file names."""
        return len(self.uids) + max(0, self.skipped)

    def add(self, base: str, extension: str = "") -> int:
        """Give `base` the next UID."""
        uid = self.next_uid
        if uid > _MAX_UID:
            raise StoreUnavailable("the mailbox has no UIDs left; it needs a new UIDVALIDITY")
        self.uids.pop(base, None)
        self.uids[base] = uid
        if extension:
            self.extensions[uid] = extension
        self.next_uid = uid + 1
        return uid


def parse(data: bytes) -> UidList | None:
    """Read a whole list; None when it has no valid first line (then a new UIDVALIDITY is due)."""
    complete = data.rfind(b"\n") + 1
    lines = data[:complete].decode("utf-8", "surrogateescape").split("\n")
    header = lines[0]
    result = _parse_header(header)
    if result is None:
        return None
    old = header.startswith("1 ")
    result.damaged = old or complete != len(data)
    _parse_lines(result, lines[1:], old)
    result.end = len(data)
    return result


def parse_more(result: UidList, data: bytes) -> None:
    """Take in lines appended since `result.end`."""
    complete = data.rfind(b"\n") + 1
    result.damaged = result.damaged or complete != len(data)
    _parse_lines(result, data[:complete].decode("utf-8", "surrogateescape").split("\n"), False)
    result.end += len(data)


def _parse_header(header: str) -> UidList | None:
    if match := _HEADER1.match(header):
        return UidList(int(match[1]), max(1, int(match[2]))) if int(match[1]) else None
    if not _HEADER3.match(header):
        return None
    result = UidList(0)
    for word in header.split(" ")[1:]:
        kind, value = word[:1], word[1:]
        if kind == "V" and value.isascii() and value.isdigit():
            result.uid_validity = int(value)
        elif kind == "N" and value.isascii() and value.isdigit():
            result.next_uid = max(1, int(value))
        elif kind == "G":
            result.guid = value
    return result if 0 < result.uid_validity <= _MAX_UID and result.next_uid <= _MAX_UID + 1 else None


def _parse_lines(result: UidList, lines: list[str], old: bool) -> None:
    uids = result.uids
    last = next(reversed(uids.values())) if uids else 0 if result.skipped < 0 else result.next_uid - 1
    for line in lines:
        if old:
            digits, blank, name = line.partition(" ")
            extension = ""
        else:
            front, blank, name = line.partition(" :")
            digits, _, extension = front.partition(" ")
        if not blank or not name or not digits.isascii() or not digits.isdigit() or len(digits) > 10:
            result.damaged = result.damaged or bool(line)
            continue
        uid = int(digits)
        if not last < uid <= _MAX_UID:
            result.damaged = True
            continue
        last = uid
        base = name.partition(":")[0]
        if base in uids:
            del uids[base]
        uids[base] = uid
        if extension:
            result.extensions[uid] = extension
    if last >= result.next_uid:
        result.next_uid = last + 1


def header_line(result: UidList) -> str:
    """The first line."""
    guid = f" G{result.guid}" if result.guid else ""
    return f"3 V{result.uid_validity} N{result.next_uid}{guid}\n"


def entry_line(result: UidList, base: str) -> str:
    """The line of one message."""
    uid = result.uids[base]
    extension = result.extensions.get(uid)
    return f"{uid} {extension} :{base}\n" if extension else f"{uid} :{base}\n"


def read(path: str) -> UidList | None:
    """Read the list at `path`; None when there is none or it is not one.  Raises StoreUnavailable."""
    try:
        fd = os.open(path, READING)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot open {path}: {error.strerror}") from error
    try:
        return parse(_read_from(fd, 0))
    finally:
        os.close(fd)


def read_header(path: str) -> UidList | None:
    """The list at `path` without its lines; None when there is none or it is not one.  Raises OSError."""
    try:
        fd = os.open(path, READING)
    except FileNotFoundError:
        return None
    try:
        return _parse_header(os.pread(fd, _MAX_HEADER, 0).partition(b"\n")[0].decode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def read_more(path: str, result: UidList) -> None:
    """Take in what was appended since; `damaged` where the file is another mailbox's.  Raises StoreUnavailable."""
    try:
        fd = os.open(path, READING)
    except FileNotFoundError:  # deleted at this moment
        result.damaged = True
        return
    except OSError as error:
        raise StoreUnavailable(f"cannot open {path}: {error.strerror}") from error
    try:
        header = _parse_header(os.pread(fd, _MAX_HEADER, 0).partition(b"\n")[0].decode("utf-8", "surrogateescape"))
        if header is None or (header.uid_validity, header.guid) != (result.uid_validity, result.guid):
            result.damaged = True
            return
        parse_more(result, _read_from(fd, result.end))
    finally:
        os.close(fd)


def _read_from(fd: int, start: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > _MAX_BYTES:
        raise StoreUnavailable("the UID list is larger than any mailbox could need")
    pieces = []
    while start < size:
        data = os.pread(fd, size - start, start)
        if not data:
            break
        pieces.append(data)
        start += len(data)
    return b"".join(pieces)


def append(path: str, result: UidList, bases: Iterable[str]) -> None:
    """Write the lines of `bases` (just added) to the end and sync.  The caller holds the lock.  Raises OSError."""
    text = "".join(entry_line(result, base) for base in bases).encode("utf-8", "surrogateescape")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_all(fd, text)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    result.end += len(text)


def replace(path: str, names: UidList, lines: Iterable[bytes]) -> None:
    """Replace the file by one with the header of `names` and these lines, ascending.  The caller holds the lock.

    Raises OSError.
    """
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(header_line(names).encode())
        file.writelines(lines)
        file.flush()
        os.fsync(fd)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def rewrite(path: str, result: UidList) -> None:
    """Replace the file with what is in memory, by rename.  The caller holds the lock.  Raises OSError."""
    text = header_line(result) + "".join(entry_line(result, base) for base in result.uids)
    data = text.encode("utf-8", "surrogateescape")
    write_file(path, data, 0o600)
    result.end = len(data)
    result.damaged = result.older = False
