"""Quotas (RFC 9208): the untagged responses QUOTA and QUOTAROOT, and the item DELETED-STORAGE of STATUS."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from pillarbox.imapd.commands.options import StatusItem
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import DELETED, MailboxStatus, MessageGone, QuotaRoot

UNIT: Final = 1024
"""Octets of one unit of STORAGE (section 5.1)."""
MANY: Final = 5_000
"""Messages that are looked through in some milliseconds."""
CAPABILITIES: Final = ("QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE")
"""QUOTASET is not among them: limits are the administrator's (docs/quota.md)."""


def quota_line(root: QuotaRoot) -> bytes:
    """`* QUOTA root (STORAGE used limit MESSAGE used limit)`: only what is limited (section 4.2.1).

    A part of a unit counts as a whole one, so that what is full looks full.
    """
    resources = []
    if root.size_limit:
        resources.append(b"STORAGE %d %d" % (-(-root.size // UNIT), -(-root.size_limit // UNIT)))
    if root.messages_limit:
        resources.append(b"MESSAGE %d %d" % (root.messages, root.messages_limit))
    return response.untagged(b"QUOTA", response.astring(root.name.encode("utf-8")), response.parenthesized(resources))


def quotaroot_line(mailbox: bytes, roots: Iterable[QuotaRoot]) -> bytes:
    """`* QUOTAROOT mailbox root ...` (section 4.2.2)."""
    names = (response.astring(root.name.encode("utf-8")) for root in roots)
    return response.untagged(b"QUOTAROOT", mailbox, *names)


def deleted_storage(session: Session, name: str, status: MailboxStatus) -> bytes:
    """The octets that EXPUNGE would free (section 4.1.4).  Raises StoreError."""
    total = 0
    if status.deleted:
        if status.messages > MANY:
            patience.give_way()
        with session.store.open(name, read_only=True) as mailbox:
            messages = mailbox.messages
            for uid, mark, size in zip(messages.uids, messages.marks(), messages.sizes(), strict=True):
                if mark & DELETED:
                    with suppress(MessageGone):
                        total += size if size >= 0 else mailbox.size(uid)
    return b"%d" % total


STATUS_ITEMS: dict[bytes, StatusItem] = {b"DELETED-STORAGE": deleted_storage}
