"""Copying messages from one account's mailbox into another's: read here, stored there, all or none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress

from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import Appender, Copied, Mailbox, MessageGone, Store, StoreError


def carry(
    source: Mailbox, uids: Collection[int], store: Store, name: str, guard: Callable[[Appender], Appender]
) -> Copied:
    """Copy messages with flags, keywords and date into the mailbox `name` of `store`; vanished ones are left out.

    What was stored before one fails is taken back.  `guard` stands between the messages and the store.
    Raises StoreError.
    """
    patience.give_way()
    validity, sources, stored = 0, list[int](), list[int]()
    try:
        for uid in sorted(set(uids)):
            position = source.messages.position(uid)
            if position is None:
                continue
            state = source.messages[position]
            try:
                date, content = source.internal_date(uid), source.read(uid)
            except MessageGone:
                continue
            with content:
                appender = guard(store.begin_append(name))
                try:
                    for piece in content.chunks():
                        appender.write(piece)
                    appended = appender.commit(state.flags, state.keywords, date)
                finally:
                    appender.abort()
            validity = appended.uid_validity
            sources.append(uid)
            stored.append(appended.uid)
    except StoreError:
        with suppress(StoreError):
            if stored:
                store.take_back(name, stored)
        raise
    return Copied(validity, tuple(sources), tuple(stored))
