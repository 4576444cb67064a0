"""Carrying out the writes of a batch: those into Maildirs together, those into other stores account by account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery, from_store_error
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.virtual.filing import StoreDelivery, Write


def write_all(writer: MaildirWriter, writes: Sequence[Write]) -> list[DeliveryFailure | None]:
    """What became of each write, at its place: None for stored, else why not."""
    elsewhere: dict[str, list[int]] = {}
    for index, write in enumerate(writes):
        if isinstance(write, StoreDelivery):
            elsewhere.setdefault(write.location, []).append(index)
    if not elsewhere:
        return writer.deliver(cast(Sequence[MaildirDelivery], writes))
    outcomes: list[DeliveryFailure | None] = [None] * len(writes)
    here = [index for index, write in enumerate(writes) if isinstance(write, MaildirDelivery)]
    plain = cast(list[MaildirDelivery], [writes[index] for index in here])
    for index, outcome in zip(here, writer.deliver(plain), strict=True):
        outcomes[index] = outcome
    for indexes in elsewhere.values():
        for index, outcome in zip(
            indexes, _store([cast(StoreDelivery, writes[each]) for each in indexes]), strict=True
        ):
            outcomes[index] = outcome
    return outcomes


def _store(writes: Sequence[StoreDelivery]) -> list[DeliveryFailure | None]:
    """Into one account."""
    first = writes[0]
    try:
        store = open_store(first.location, first.quota)
        try:
            return store.deliver([Delivery(write.content, write.folder, write.flags, write.create) for write in writes])
        finally:
            store.close()
    except StoreError as error:
        return [from_store_error(error, "cannot open the mailbox", first.quota.tempfail)] * len(writes)
