"""What of an mbox file is a message, and the file without some of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.store.mbox import journal
from pillarbox.lib.store.mbox.file import Locked, MboxFile
from pillarbox.lib.store.mbox.index import Row
from pillarbox.lib.store.mbox.parse import Found, examine, status_lines


def header(state: Locked, row: Row) -> bytes:
    """The beginning of the message with its `From_` line; all that is looked at of it."""
    return os.pread(state.fd, min(row.end - row.offset, 1 << 20), row.offset)


def shown(state: Locked, row: Row) -> list[tuple[int, int]]:
    """The ranges of the file that are the message: without `From_` line and status lines."""
    data = header(state, row)
    place = Found(0, row.start - row.offset, len(data), len(data))
    ranges = []
    position = row.start
    for start, end in examine(data, place).hidden:
        ranges.append((position, row.offset + start))
        position = row.offset + end
    ranges.append((position, row.end))
    return [(start, end) for start, end in ranges if start < end]


def remove_messages(file: MboxFile, state: Locked, uids: set[int]) -> None:
    """Rewrite the file without these messages, status lines brought up to date, and save the index."""
    rows = sorted(state.index.rows, key=lambda row: row.offset)
    gone = [row for row in rows if row.uid in uids]
    if not gone:
        return
    start = gone[0].offset
    keep = [row for row in rows if row.offset > start and row.uid not in uids]
    room = sum(row.next - row.offset for row in gone) - 1
    places: list[tuple[Row, int, int]] = []
    position = start

    def pieces() -> Iterator[bytes]:
        nonlocal position, room
        for row in keep:
            data = header(state, row)
            place = Found(0, row.start - row.offset, len(data), len(data))
            hidden = examine(data, place).hidden
            lines = status_lines(row.flags, row.keywords)
            growth = len(lines) - sum(end - begin for begin, end in hidden)
            if growth <= room:
                room -= growth
                kept = shown(state, row)
                yield data[: row.start - row.offset] + lines
                for begin, end in kept:
                    yield from journal.read_range(state.fd, begin, end - begin)
                yield from journal.read_range(state.fd, row.end, row.next - row.end)
                row.file_flags, row.file_keywords = row.flags, row.keywords
                length = row.next - row.offset + growth
            else:
                yield from journal.read_range(state.fd, row.offset, row.next - row.offset)
                growth = 0
                length = row.next - row.offset
            places.append((row, position, growth))
            position += length

    journal.replace_end(state.fd, file.journal, start, pieces())
    for row, offset, growth in places:
        shift = offset - row.offset
        row.offset += shift
        row.start += shift
        row.end += shift + growth
        row.next += shift + growth
        state.touch(row)
    state.index.rows = [row for row in state.index.rows if row.uid not in uids]
    state.gone.update(row.uid for row in gone)
    file.save(state)
