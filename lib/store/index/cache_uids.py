"""The highest UID of which a cache file knows something.

A mailbox that has not given it yet was put back from a backup, and its cache was not.
"""

from __future__ import annotations

import os

from pillarbox.lib.store.index.cache_file import Damaged, read_records, read_tables


def highest_uid(path: str, uid_validity: int) -> int:
    """0 where the file is not there, is another mailbox's or is damaged."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    with open(fd, "rb") as file:
        try:
            data = file.read()
            tables, tail = read_tables(data, len(data), uid_validity)
            highest = max((table.uids[-1] for table in tables.values() if len(table.uids)), default=0)
            return max(highest, max((uid for uid, _, _, _ in read_records(data, tail, len(data))), default=0))
        except (OSError, ValueError, Damaged):
            return 0
