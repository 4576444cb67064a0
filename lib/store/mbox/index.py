"""The index beside an mbox file: it alone holds UIDs, so it is durable.

A text file in the account's control directory: a JSON object on the first line (UIDVALIDITY, next UID, and the state of
the mbox file that it describes), then one JSON list per message.  Replaced by rename, synced.  Losing it costs UIDs,
never mail: the next open makes a new one with a new UIDVALIDITY.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.system.files import write_file

_VERSION: Final = 1


@dataclass(slots=True)
class Row:
    """One message.  Offsets are those of `parse.Found`."""

    uid: int
    offset: int
    start: int
    end: int
    next: int
    fingerprint: str
    size: int
    date: float
    flags: int = 0
    keywords: tuple[str, ...] = ()
    recent: bool = True
    file_flags: int = 0
    """Flags in the file's status lines when last read: a difference means that another program changed them."""
    file_keywords: tuple[str, ...] = ()

    def fields(self) -> list[object]:
        """As written."""
        return [
            self.uid,
            self.offset,
            self.start,
            self.end,
            self.next,
            self.fingerprint,
            self.size,
            self.date,
            self.flags,
            list(self.keywords),
            self.recent,
            self.file_flags,
            list(self.file_keywords),
        ]


@dataclass(slots=True)
class Index:
    """The index in memory; `rows` ascend by UID."""

    uid_validity: int
    next_uid: int = 1
    inode: int = 0
    size: int = 0
    mtime_ns: int = -1
    rows: list[Row] = field(default_factory=list)

    def describes(self, about: os.stat_result) -> bool:
        """Whether the mbox file is as it was when the index was written."""
        return (self.inode, self.size, self.mtime_ns) == (about.st_ino, about.st_size, about.st_mtime_ns)

    def remember(self, about: os.stat_result) -> None:
        """Note that the index describes the file in this state."""
        self.inode, self.size, self.mtime_ns = about.st_ino, about.st_size, about.st_mtime_ns


def read_index(path: str) -> Index | None:
    """The index at `path`; None when there is none or it cannot be understood.  Raises StoreUnavailable."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error
    try:
        head = json.loads(lines[0])
        if head["version"] != _VERSION:
            return None
        index = Index(head["uid_validity"], head["next_uid"], head["inode"], head["size"], head["mtime_ns"])
        for line in lines[1:]:
            if line:
                values = json.loads(line)
                values[9], values[12] = tuple(values[9]), tuple(values[12])
                index.rows.append(Row(*values))
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return index


def write_index(path: str, index: Index) -> None:
    """Replace the file.  Raises OSError."""
    head = {
        "version": _VERSION,
        "uid_validity": index.uid_validity,
        "next_uid": index.next_uid,
        "inode": index.inode,
        "size": index.size,
        "mtime_ns": index.mtime_ns,
    }
    lines = [json.dumps(head), *(json.dumps(row.fields()) for row in index.rows), ""]
    write_file(path, "\n".join(lines).encode(), 0o600)
