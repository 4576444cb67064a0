"""A search over a mailbox: the index is asked where it helps, then message after message, with breaks for others."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice, repeat
from typing import Final, TypeVar

from pillarbox.imapd.fetch.header_fields import FIELD
from pillarbox.imapd.protocol import response
from pillarbox.imapd.search.key import Candidate, Key, Source, TextLook, View
from pillarbox.imapd.search.summary import FIELD as SUMMARY
from pillarbox.imapd.session.context import BROKEN_IN_A_ROW, Session
from pillarbox.lib.store.interface import MessageCache, MessageGone, StoreUnavailable

T = TypeVar("T")

STEP: Final = 64
"""Messages between two looks at the clock, where they cost little."""

BLOCK: Final = 256
"""Messages whose headers are taken out of the cache together."""

MANY: Final = 2_000
"""Messages that are sorted or threaded in some milliseconds."""

HEADER_COST: Final = 10
"""What a key costs (`Key.cost`) that wants fields of the header."""

LOOKS: Final = 32
"""Texts of one command that the index is asked about; the others are looked for in each message."""

LARGE: Final = 20_000
"""Messages of a mailbox whose index is asked in a thread: it takes longer than a thread costs."""


async def search(
    session: Session,
    source: Source,
    key: Key,
    found: Callable[[Candidate], None],
    *,
    wanted: Collection[str] = (),
    narrow: Callable[[Sequence[int]], Sequence[int]] = lambda indexes: indexes,
) -> None:
    """Call `found` for each message that matches, in the order of the mailbox.

    `wanted`: what `found` wants of the mailbox's cache (FIELD, SUMMARY).  What it raises as MessageGone takes the
    message out of the result; so does a message that cannot be read, of which the client is warned.
    `narrow` gives those of the positions to be looked at that are; it may refuse (CommandFailed).
    """
    looks = tuple(dict.fromkeys(key.texts()))
    hints = await _hints(session, source, looks) if looks else {}
    selected = source.mailbox
    bound = key.bind(View(selected, session.saved_search, hints))
    indexes = narrow(range(selected.count) if bound.only is None else sorted(bound.only))
    reads = bound.cost > 0 or bool(wanted)
    unreadable = in_a_row = 0
    for start in range(0, len(indexes), BLOCK):
        block = indexes[start : start + BLOCK]
        uids = selected.uids
        block_uids = uids[block.start : block.stop] if isinstance(block, range) else [uids[index] for index in block]
        shorts, summaries = _cached(selected.mailbox.cache, block_uids, bound, wanted)
        for step, (index, uid, short, summary) in enumerate(
            zip(block, block_uids, shorts, summaries, strict=False), start
        ):
            try:
                candidate = Candidate(source, index, uid, short, summary)
                if bound.matches(candidate):
                    found(candidate)
                in_a_row = 0
            except MessageGone:
                pass
            except StoreUnavailable:
                unreadable += 1
                in_a_row += 1
                if in_a_row >= BROKEN_IN_A_ROW:
                    raise
            if not step % STEP or bound.cost > HEADER_COST or (reads and short is None is summary):
                await session.progress(step, len(indexes))
    selected.mailbox.cache.flush()
    if unreadable:
        session.send(response.status(b"*", b"NO", f"Messages that cannot be read are left out: {unreadable}."))
    if any(look.searches_text for look in looks):
        session.text_indexing.searched(session.store, selected)


def _cached(
    cache: MessageCache, uids: Sequence[int], key: Key, wanted: Collection[str]
) -> tuple[Iterable[bytes | None], Iterable[bytes | None]]:
    """What is known of these messages: short headers and summaries, as far as anybody wants them."""
    shorts: Iterable[bytes | None] = repeat(None)
    summaries: Iterable[bytes | None] = repeat(None)
    missing = False
    if SUMMARY in wanted:
        known = cache.get_many(SUMMARY, uids)
        summaries, missing = known, None in known
    if missing or FIELD in wanted or key.cost == HEADER_COST:
        shorts = cache.get_many(FIELD, uids)
    return shorts, summaries


async def _hints(session: Session, source: Source, looks: Sequence[TextLook]) -> dict[TextLook, Collection[int]]:
    selected = source.mailbox
    mailbox = selected.mailbox
    hints: dict[TextLook, Collection[int]] = {}
    for look in islice((look for look in looks if look.specific), LOOKS):
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


async def aside(messages: int, work: Callable[[], T]) -> T:
    """The result of work without breaks on so many messages; for many in a thread, so that others get their turns."""
    return await asyncio.to_thread(work) if messages > MANY else work()
