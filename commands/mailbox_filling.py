"""The part of a transfer in which a mailbox that is new or empty in the target becomes the source's to its clients.

The messages are stored under the UIDs that they have, and those that are there already are passed over: so a batch that
a killed run had begun needs no comparing.  When all are there the mailbox gets the source's UIDVALIDITY.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from pillarbox.commands.mailbox_journal import Journal, Progress
from pillarbox.commands.mailbox_message import Message, Opened, SourceMailbox, Target
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import NotPossible
from pillarbox.lib.store.keeping import Identity, Kept, Restoring


def begin_filling(
    target: Target, mailbox: str, identity: Identity, journal: Journal, progress: Progress
) -> Restoring | None:
    """The filling, begun or taken up; None where it is done, or where UIDs are given anew.  Raises StoreError."""
    if progress.filled:
        return None
    if progress.token is not None:
        if target.uid_validity(mailbox) == identity.uid_validity:  # done, and killed before that was noted
            journal.filled()
            return None
        return target.restoring(mailbox, identity, progress.token)
    if progress.done is not None or progress.begun:
        return None  # a run before gave new UIDs
    try:
        filling = target.restoring(mailbox, identity, None)
    except NotPossible:
        return None
    if filling is not None:
        journal.fill(filling.token, identity.border)
    return filling


def to_be_kept(mailbox: SourceMailbox, progress: Progress) -> Iterator[Message]:
    """The messages that go under their UIDs: those below the border that the target keeps free."""
    return takewhile(lambda message: 0 < message.uid < progress.border, mailbox.messages(progress.done))


def put_kept(filling: Restoring, mailbox: str, batch: list[Opened]) -> list[DeliveryFailure | None]:
    """Store a batch.  Raises StoreError."""
    return filling.put([_kept(mailbox, opened) for opened in batch])


def _kept(mailbox: str, opened: Opened) -> Kept:
    message = opened.message
    delivery = Delivery(opened.pieces, mailbox, message.wire_flags(), date=message.date)
    return Kept(message.uid, delivery, message.saved, message.uidl)
