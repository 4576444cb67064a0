"""The cache file beside a mailbox: whatever is in it, a value is right by its sum or the file is Damaged."""

from __future__ import annotations

from pillarbox.lib.store.index import cache_file


def fuzz(data: bytes) -> None:
    """Read as the tables of UIDVALIDITY 1 and a tail, and as a tail alone."""
    try:
        tables, end = cache_file.read_tables(data, len(data), 1)
        for table in tables.values():
            assert table.index(1) < len(table.uids)
    except cache_file.Damaged:
        end = 0
    try:
        for uid, field, place, length in cache_file.read_records(data, end, len(data)):
            value = data[place : place + length]
            assert cache_file.record(uid, field, value) == data[place - cache_file.RECORD.size : place + length]
    except cache_file.Damaged:
        pass
