"""Fuzz target: `maildirsize` files, which other software and, for system users, their owners write."""

from __future__ import annotations

from pillarbox.lib.store.maildir.maildirsize import MAX_BYTES, parse, serialize


def fuzz(data: bytes) -> None:
    """A file that is understood says something sensible, and says it again when it is written anew."""
    record = parse(data)
    if record is not None:
        assert len(data) < MAX_BYTES
        assert record.usage.size >= 0 and record.usage.messages >= 0 and record.lines > 0
        again = parse(serialize(record.limits, record.usage))
        assert again is None or again[:2] == record[:2]
