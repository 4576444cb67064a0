"""Undoing an append that a killed process did not finish.

Before the first byte a note says where the append starts and which `From_` lines it will write; after the index knows
the messages the note goes.  Whoever finds a note cuts the file back to the start, unless the index knows what is there,
or there is mail of others behind it: then everything stays.  That the note goes is not synced: one that a power loss
brings back undoes nothing.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Sequence

from pillarbox.lib.store.mbox.parse import find_messages
from pillarbox.lib.system.files import without_waiting, write_file


def note_append(path: str, fd: int, start: int, from_lines: Sequence[bytes], *, durable: bool) -> None:
    """Write the note at `path`; `durable`: it must be there after a power loss too.  Raises OSError."""
    note = {
        "inode": os.fstat(fd).st_ino,
        "start": start,
        "lines": [line.decode("utf-8", "surrogateescape") for line in from_lines],
    }
    data = json.dumps(note).encode()
    if durable:
        write_file(path, data, 0o600)
        return
    temporary = f"{path}.new"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)


def undo_append(fd: int, path: str, known: int) -> bool:
    """Undo what the note at `path` says; true when the file was cut.  The caller holds the locks.

    `known` are the octets that the index describes.  Raises OSError.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            note = json.loads(file.read())
        start, lines = int(note["start"]), [str(line) for line in note["lines"]]
        same = os.fstat(fd).st_ino == note["inode"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        same = False
    cut = same and os.fstat(fd).st_size > start >= known and _only_ours(fd, start, lines)
    if cut:
        os.ftruncate(fd, start)
        os.fsync(fd)
    os.unlink(path)
    return cut


def _only_ours(fd: int, start: int, lines: Sequence[str]) -> bool:
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as data:
        found = [
            bytes(data[message.offset : message.start]).decode("utf-8", "surrogateescape")
            for message in find_messages(data, start, size)
        ]
    return found == list(lines[: len(found)])
