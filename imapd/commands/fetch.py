"""FETCH and UID FETCH (RFC 9051 section 6.4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import repeat

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.commands.options import FETCH_MODIFIERS, FetchModifier, read_options
from pillarbox.imapd.fetch import parse_items
from pillarbox.imapd.fetch.item import Column, Item, Literals, Message, Stream
from pillarbox.imapd.fetch.uid import UID
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session.context import BROKEN_IN_A_ROW, Session
from pillarbox.lib.store.apart import apart, patiently
from pillarbox.lib.store.interface import (
    SEEN,
    MailboxBusy,
    MessageGone,
    NoPermission,
    OverQuota,
    StoreError,
    StoreUnavailable,
)
from pillarbox.lib.store.patience import Later, in_haste

RUN = 500
"""Messages that are worked on together before others get their turn: some milliseconds."""

REMEMBERED = 500
"""Octets of a command whose items are remembered."""

TOGETHER = 4
"""Neighbours from which on columns are quicker."""


class StreamBroken(Exception):
    """A message could not be read to its end after its size was announced: only ending the connection is honest."""


@lru_cache(256)
def _plain_items(text: bytes) -> tuple[Item, ...] | None:
    """The items of a command that has nothing else; None for others.  A client asks for the same again and again."""
    cursor = Cursor(text)
    try:
        items = parse_items(cursor)
        cursor.end()
    except BadSyntax:
        return None
    return items


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    numbers = cursor.message_set()
    cursor.space()
    modifiers: dict[bytes, FetchModifier] = {}
    known = _plain_items(cursor.data[cursor.position :]) if len(cursor.data) <= REMEMBERED else None
    if known is not None:
        items = known
    else:
        items = parse_items(cursor)
        if not cursor.at_end:
            cursor.space()
            modifiers = read_options(cursor, FETCH_MODIFIERS, "fetch modifier")
        cursor.end()
    for modifier in modifiers.values():
        modifier.check(syntax, numbers, modifiers)
        items += modifier.items
    if syntax.by_uid and b"UIDONLY" not in syntax.enabled:  # there the response begins with the UID
        items = (UID, *items)
    items = tuple(dict.fromkeys(items))

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        missing = in_a_row = 0
        broken: StoreUnavailable | None = None
        sets_seen = any(item.sets_seen for item in items) and selected.may_set(SEEN)
        if any(item.asks_modseq for item in items):
            session.need_modseqs()
        limit = MessageLimit(session)
        indexes = named_indexes(syntax, session, numbers)
        if not any(modifier.chooses for modifier in modifiers.values()):
            indexes = limit.highest(indexes)
        for modifier in modifiers.values():
            indexes = modifier.narrow(session, indexes, limit.lowest)
        for start, stop in runs(indexes):
            if stop - start >= TOGETHER and not (sets_seen and _any_unseen(session, start, stop)):
                singles = send_together(session, start, stop, items)
            else:
                singles = iter(range(start, stop))
            for index in singles:
                if index is None:
                    await session.breathe()
                    continue
                message = Message(session, index)
                newly_seen = sets_seen and not message.state.flags & SEEN
                try:
                    if newly_seen:
                        try:
                            newly_seen = await patiently(partial(_set_seen, session, message))
                        except MailboxBusy:  # it can be read all the same; the others need not wait as long again
                            sets_seen = newly_seen = False
                    await send_message(session, message, items, newly_seen=newly_seen)
                    in_a_row = 0
                except MessageGone:
                    missing += 1
                except StoreUnavailable as error:  # the others are whole
                    broken = error
                    in_a_row += 1
                    if in_a_row >= BROKEN_IN_A_ROW:
                        raise
                await session.breathe()
            await session.breathe()
        selected.mailbox.cache.flush()
        if broken is not None:
            raise broken
        if missing and not syntax.by_uid:
            limit.tell()  # RFC 9738 section 3.1: the other code is in the tagged response
            raise CommandFailed("Some of the requested messages no longer exist.", "EXPUNGEISSUED")
        return limit.reply(Reply("Fetch completed."))

    return run


def _any_unseen(session: Session, start: int, stop: int) -> bool:
    messages = session.mailbox.mailbox.messages
    return not all(mark & SEEN for mark in set(messages.marks(start, stop)))


def _set_seen(session: Session, message: Message) -> bool:
    """Whether the message is now marked as read; where that cannot be kept, it can be read all the same."""
    try:
        return bool(session.mailbox.mailbox.set_flags((message.uid,), "add", SEEN).states)
    except (NoPermission, OverQuota, StoreUnavailable):
        return False


def runs(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The positions as ranges [start, stop) of neighbours, none longer than `RUN`."""
    count = len(indexes)
    at = 0
    while at < count:
        start = indexes[at]
        end = min(count, at + RUN)
        if indexes[end - 1] - start != end - 1 - at:
            end = at + 1
            while end < count and indexes[end] == start + end - at and end - at < RUN:
                end += 1
        yield start, start + end - at
        at = end


def send_together(session: Session, start: int, stop: int, items: tuple[Item, ...]) -> Iterator[int | None]:
    """Send what is known of the messages [start, stop), a column at a time; gives those that must be sent singly.

    Each is given when all before it have been sent.  None: much has gathered, and may go out.
    """
    columns: list[Column] = []
    literals = None
    place = 0
    for number, item in enumerate(items):
        column = item.column(session, start, stop)
        if isinstance(column, Column):
            columns.append(column)
        elif column is not None and literals is None:
            literals, place = column, number
        else:
            yield from range(start, stop)
            return
    if literals is not None:
        yield from _send_literals(session, start, stop, columns[:place], literals, columns[place:])
        return
    numbers, opening = session.mailbox.fetch_openings(start, stop)
    form = opening + b" ".join(column.form for column in columns) + b")\r\n"
    rows = list(zip(numbers, *(column.values for column in columns), strict=True))
    if not any(None in column.values for column in columns):
        session.send(b"".join([form % row for row in rows]))
        return
    for index, row in enumerate(rows, start):
        if None in row:
            yield index
        else:
            session.send(form % row)


def _send_literals(
    session: Session, start: int, stop: int, before: list[Column], literals: Literals, after: list[Column]
) -> Iterator[int | None]:
    """As `send_together`, with literals among the items; those that stand before them and after them."""
    numbers, opening = session.mailbox.fetch_openings(start, stop)
    form = opening + b"".join(column.form + b" " for column in before) + literals.name + b" {%d}\r\n"
    closing = b"".join(b" " + column.form for column in after) + b")\r\n"
    heads = zip(numbers, *(column.values for column in before), strict=True)
    tails: Iterable[tuple[bytes | int | None, ...]] = repeat(())
    if after:
        tails = zip(*(column.values for column in after), strict=True)
    send = session.send
    for index, head, pieces, tail in zip(range(start, stop), heads, literals.values, tails, strict=False):
        if pieces is None or None in head or None in tail:
            yield index
            continue
        send(form % (*head, sum(map(len, pieces))))
        for piece in pieces:
            send(piece if b"\0" not in piece else piece.replace(b"\0", b"\x80"))
        send(closing % tail)
        yield None


async def send_message(session: Session, message: Message, items: tuple[Item, ...], *, newly_seen: bool) -> None:
    """One untagged FETCH.  Nothing of it is sent unless all of the message's items can be had."""
    pieces: list[bytes | Stream] = []
    for item in items:
        if pieces:  # each may take long, and a command may have thousands
            await session.breathe()
        try:
            pieces.append(in_haste(partial(item.render, message)))
        except Later:
            await apart(partial(session.content, message.uid))
            pieces.append(item.render(message))
    if newly_seen:  # a change that the client must be told of
        pieces += [piece for piece in session.mailbox.change_items(message.state) if piece not in pieces]
    opening = session.mailbox.fetch_opening(message.index, message.uid)
    if not any(isinstance(piece, Stream) for piece in pieces):
        session.send(opening + b" ".join(piece for piece in pieces if isinstance(piece, bytes)) + b")\r\n")
        return
    session.send(opening)
    for number, piece in enumerate(pieces):
        if number:
            session.send(b" ")
        if isinstance(piece, bytes):
            session.send(piece)
            continue
        await send_stream(session, piece, f"message {message.uid}")
    session.send(b")\r\n")


async def send_stream(session: Session, stream: Stream, what: str) -> None:
    """Send what `what` gives, never more octets than are announced.  Raises StreamBroken where they are not as many."""
    session.send(stream.opening)
    left = stream.size
    try:
        for chunk in stream.chunks:
            left -= len(chunk)
            if left < 0:
                break
            clean = stream.as_it_is or b"\0" not in chunk
            session.send(chunk if clean else chunk.replace(b"\0", b"\x80"))
            await session.breathe()
    except StoreError as error:
        raise StreamBroken(str(error)) from None
    if left:
        raise StreamBroken(f"{what} has another size than it had")


COMMAND = Command("FETCH", State.SELECTED, parse, Report.NOTHING, uid_form=True)
