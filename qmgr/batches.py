"""How many recipients go into one request to an agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pillarbox.lib.ipc import FRAME_LIMIT
from pillarbox.lib.queue import StoredRecipient
from pillarbox.qmgr.job import Entry

REQUEST_RECIPIENTS = 200
"""Most recipients in one request to an agent, whatever the configuration allows: the answer must fit into a frame."""

REQUEST_SIZE = FRAME_LIMIT // 2
"""Bytes that the recipients of one request may take, estimated; the other half is for the envelope."""

SMALL_BATCH = 10
"""So many recipients fit without counting: their addresses have at most some thousand characters."""


def batch_limit(recipient_limit: int) -> int:
    """The most recipients of a request where the configuration allows `recipient_limit`; 0 is no limit."""
    return min(recipient_limit or REQUEST_RECIPIENTS, REQUEST_RECIPIENTS)


def batches(recipients: list[StoredRecipient], limit: int) -> Iterator[list[StoredRecipient]]:
    """The recipients in groups of at most `limit` that fit into one request."""
    if len(recipients) <= limit and len(recipients) <= SMALL_BATCH:
        yield recipients
        return
    batch: list[StoredRecipient] = []
    size = 0
    for stored in recipients:
        needs = _size(stored)
        if batch and (len(batch) >= limit or size + needs > REQUEST_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(stored)
        size += needs
    yield batch


def join(entry: Entry, recipients: list[StoredRecipient], limit: int) -> bool:
    """Put further recipients into an entry that waits, where they fit; else False."""
    count = len(entry.recipients) + len(recipients)
    if count > limit or entry.crashes:
        return False
    if count > SMALL_BATCH:
        known = entry.size or _sizes(entry.recipients)
        entry.size = known + _sizes(recipients)
        if entry.size > REQUEST_SIZE:
            entry.size = known
            return False
    entry.recipients += recipients
    return True


def _sizes(recipients: Iterable[StoredRecipient]) -> int:
    return sum(map(_size, recipients))


def _size(stored: StoredRecipient) -> int:
    recipient = stored.recipient
    return 100 + 6 * (len(recipient.address) + len(recipient.original) + len(recipient.orcpt))
