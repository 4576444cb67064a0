"""A search over a mailbox: the index is asked where it helps, then message after message, with breaks for others."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Final

from pillarbox.imapd.search.key import Candidate, Key, Source, TextLook, View
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MessageGone

STEP: Final = 64
"""Messages between two looks at the clock."""

LOOKS: Final = 32
"""Texts of one command that the index is asked about; the others are looked for in each message."""

LARGE: Final = 20_000
"""Messages of a mailbox whose index is asked in a thread: it takes longer than a thread costs."""


async def search(session: Session, source: Source, key: Key, found: Callable[[Candidate], None]) -> None:
    """Call `found` for each message that matches, in the order of the mailbox.

    What `found` raises as MessageGone takes the message out of the result.
    """
    looks = tuple(dict.fromkeys(key.texts()))
    hints = await _hints(session, source, looks) if looks else {}
    selected = source.mailbox
    bound = key.bind(View(selected, session.saved_search, hints))
    indexes = bound.only
    for step, index in enumerate(sorted(indexes) if indexes is not None else range(selected.count)):
        try:
            candidate = Candidate(source, index)
            if bound.matches(candidate):
                found(candidate)
        except MessageGone:
            pass
        if not step % STEP or bound.cost > 1:
            await session.breathe()
    if any(look.searches_text for look in looks):
        session.text_indexing.searched(session.store, selected)


async def _hints(session: Session, source: Source, looks: Sequence[TextLook]) -> dict[TextLook, Collection[int]]:
    selected = source.mailbox
    mailbox = selected.mailbox
    hints: dict[TextLook, Collection[int]] = {}
    if mailbox.text_place is None:
        return hints
    for look in islice(looks, LOOKS):
        if selected.count > LARGE:
            found = await asyncio.to_thread(mailbox.text_candidates, look.needle, look.fields)
        else:
            found = mailbox.text_candidates(look.needle, look.fields)
            await session.breathe()
        if found is None:
            continue
        hints[look] = _positions(selected.uids, found)
    return hints


def _positions(uids: Sequence[int], found: Collection[int]) -> frozenset[int]:
    """Where these UIDs, all of which are there, stand."""
    if len(found) > 100:
        return frozenset(place for place, uid in enumerate(uids) if uid in found)
    return frozenset(bisect_left(uids, uid) for uid in found)
