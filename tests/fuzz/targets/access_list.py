"""Access lists that lie beside mailboxes."""

from __future__ import annotations

from pillarbox.lib.store.acl import Viewer, parse, rights_of, serialize
from pillarbox.lib.store.interface import ALL_RIGHTS


def fuzz(data: bytes) -> None:
    """Read, they say the same when they are written and read again, and give nobody more than there is."""
    entries = parse(data)
    assert parse(serialize(entries)) == entries
    viewer = Viewer("bob@example.org", frozenset(("staff",)))
    given = rights_of(entries, viewer, "example.org")
    assert set(given) <= set(ALL_RIGHTS)
    assert set(rights_of(entries, viewer, "example.net")) <= {*given, *entries.get("-anyone", "")}
