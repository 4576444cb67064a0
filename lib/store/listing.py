"""The rows of LIST, from the names of the mailboxes that exist."""

from __future__ import annotations

from collections.abc import Collection

from pillarbox.lib.store.interface import DELIMITER, INBOX, MailboxEntry


def entries(existing: Collection[str], subscribed: Collection[str]) -> list[MailboxEntry]:
    """INBOX first, then by name, with the levels that exist only because something is below them."""
    levels = set()
    for name in existing:
        parent = name.rpartition(DELIMITER)[0]
        while parent and parent not in levels:
            levels.add(parent)
            parent = parent.rpartition(DELIMITER)[0]
    rest = sorted({*existing, *levels} - {INBOX})
    return [
        MailboxEntry(name, name == INBOX or name in existing, name in levels, name in subscribed)
        for name in [INBOX, *rest]
    ]
