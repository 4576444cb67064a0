"""The note that holds a mailbox's annotations."""

from __future__ import annotations

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.metadata import entry_name, parse, serialize


def fuzz(data: bytes) -> None:
    """Read, or told to be damaged; names have one spelling."""
    try:
        entries = parse(data)
    except StoreUnavailable:
        return
    finally:
        name = entry_name(data.decode("utf-8", "replace"))
        assert name is None or entry_name(name) == name
    assert parse(serialize(entries)) == entries
