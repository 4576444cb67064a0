"""Fuzz target: the index beside an mbox file: any damage is found, and what is read of it can be written again."""

from __future__ import annotations

import json

from pillarbox.lib.store.mbox.index import parse


def fuzz(data: bytes) -> None:
    """What is read of a file can be written again."""
    index = parse(data)
    if index is None:
        return
    assert index.written <= len(data)
    head = {"version": 2, **index.head(), "rows": len(index.rows)}
    lines = [json.dumps(head), *(json.dumps(row.fields()) for row in index.rows), ""]
    again = parse("\n".join(lines).encode())
    assert again is not None
    assert again.rows == index.rows or any(row.date != row.date for row in index.rows)
