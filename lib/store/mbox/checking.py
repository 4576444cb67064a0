"""Looking for damage in the mbox files of an account, and mending what can be mended without changing a UID."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.mbox.file import MboxFile
from pillarbox.lib.store.mbox.index import read_index
from pillarbox.lib.store.mbox.parse import examine, find_messages
from pillarbox.lib.system.files import READING


def check_file(name: str, file: MboxFile, *, mend: bool) -> Iterator[Finding]:
    """Everything wrong with one mailbox.  Raises StoreError, OSError."""
    if not os.path.exists(file.path):
        return
    if os.path.exists(file.index_path) and read_index(file.index_path) is None:
        if mend:
            os.rename(file.index_path, f"{file.index_path}.damaged")
        yield Finding(name, "the index cannot be read: UIDs are given anew, under a new UIDVALIDITY", mended=mend)
    for path, what in ((file.journal, "an expunge"), (file.append_note, "an append")):
        if os.path.exists(path):
            if mend:
                with file.locked():
                    pass
            yield Finding(name, f"{what} was interrupted", mended=mend)
    yield from _content(name, file, mend)


def _content(name: str, file: MboxFile, mend: bool) -> Iterator[Finding]:
    index = read_index(file.index_path)
    fd = os.open(file.path, READING)
    try:
        about = os.fstat(fd)
        if not about.st_size:
            return
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            found = list(find_messages(data, 0, about.st_size))
            if not found or found[0].offset:
                yield Finding(name, "the file does not begin with a From_ line: what stands before one is not shown")
            if index is None or not index.describes(about):
                return  # the next session reads it anew
            rows = sorted(index.rows, key=lambda row: row.offset)
            same = [(row.offset, row.start, row.end, row.next) for row in rows] == [tuple(each) for each in found]
            wrong = 0
            for row, message in zip(rows, found, strict=False):
                details = examine(data, message)
                wrong += (row.fingerprint, row.size) != (details.fingerprint, details.size)
    finally:
        os.close(fd)
    if not same or wrong:
        if mend:
            with file.locked() as state:
                file.match_anew(state)
        yield Finding(name, "the index does not describe the file", mended=mend)
