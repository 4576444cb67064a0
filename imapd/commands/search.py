"""SEARCH and UID SEARCH (RFC 9051 section 6.4.4; RFC 3501 form of the answer unless RETURN asks for ESEARCH)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pillarbox.imapd.commands import options
from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.options import SearchFound, SearchReturn, read_options
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.search import parse_program
from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.session.context import Session
from pillarbox.lib.mime.charset import find_codec
from pillarbox.lib.store.interface import MessageGone

STEP = 64
"""Messages between two looks at the clock."""


class Minimum(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"MIN %d" % found.numbers[0] if found.numbers else b""


class Maximum(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"MAX %d" % found.numbers[-1] if found.numbers else b""


class Count(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"COUNT %d" % len(found.numbers)


class Every(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"ALL " + format_set(found.numbers) if found.numbers else b""


SEARCH_RETURN: dict[bytes, Callable[[Cursor], SearchReturn]] = {
    b"MIN": lambda cursor: Minimum(),
    b"MAX": lambda cursor: Maximum(),
    b"COUNT": lambda cursor: Count(),
    b"ALL": lambda cursor: Every(),
}


def parse_return(cursor: Cursor) -> tuple[SearchReturn, ...] | None:
    """search-return-opts (RFC 4731); None where the old form is wanted."""
    if not cursor.accept(b"RETURN "):
        return None
    found = read_options(cursor, options.SEARCH_RETURN, "search option")
    cursor.space()
    return tuple(found.values()) or (Every(),)


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    returned = parse_return(cursor)
    charset = "us-ascii"
    bad_charset = ""
    if cursor.accept(b"CHARSET "):
        if b"UTF8=ACCEPT" in syntax.enabled:
            raise BadSyntax("no CHARSET is needed once UTF8=ACCEPT is enabled (RFC 6855 section 3)")
        charset = cursor.astring().decode("ascii", "replace")
        cursor.space()
        if find_codec(charset) is None:
            bad_charset, charset = charset, "us-ascii"
    elif not cursor.data.isascii():
        charset = "utf-8"  # what a client that forgets to say means
    key = parse_program(cursor, charset)
    cursor.end()

    async def run(session: Session) -> Reply:
        if bad_charset:
            raise CommandFailed("Unknown charset", "BADCHARSET (US-ASCII UTF-8)")
        if key.asks_modseq:
            session.need_modseqs()
        found = await search(session, key)
        uids = session.mailbox.uids
        numbers = [uids[index] for index in found] if syntax.by_uid else [index + 1 for index in found]
        if returned is None and b"IMAP4REV2" not in session.enabled:
            words = [b"%d" % number for number in numbers]
            if key.asks_modseq and found:
                words.append(b"(MODSEQ %d)" % highest_modseq(session, found))
            session.send(response.untagged(b"SEARCH", *words))
        else:
            all_found = SearchFound(session, syntax.by_uid, found, numbers)
            session.send(extended_line(syntax, returned or (Every(),), all_found, with_modseq=key.asks_modseq))
        return Reply("Search completed.")

    return run


async def search(session: Session, key: Key) -> list[int]:
    """The positions of the messages that match, ascending."""
    selected = session.mailbox
    bound = key.bind(selected)
    indexes = bound.only
    found = []
    for step, index in enumerate(sorted(indexes) if indexes is not None else range(selected.count)):
        try:
            if bound.matches(Candidate(session, index)):
                found.append(index)
        except MessageGone:
            pass
        if not step % STEP or bound.cost > 10:
            await session.breathe()
    return found


def highest_modseq(session: Session, indexes: Iterable[int]) -> int:
    """The highest MODSEQ of these messages (RFC 7162 section 3.1.6)."""
    messages = session.mailbox.mailbox.messages
    return max(messages[index].modseq for index in indexes)


def extended_line(
    syntax: Syntax, returned: tuple[SearchReturn, ...], found: SearchFound, *, with_modseq: bool = False
) -> bytes:
    """The untagged ESEARCH."""
    parts = [b"ESEARCH", b"(TAG %b)" % response.string(syntax.tag)]
    if syntax.by_uid:
        parts.append(b"UID")
    parts += filter(None, (option.data(found) for option in returned))
    if with_modseq and found.indexes:
        # RFC 4731 section 3.2: of all that were found, unless only ends were asked for.
        ends = {Minimum: found.indexes[0], Maximum: found.indexes[-1]}
        asked = {type(option) for option in returned}
        indexes = [ends[each] for each in asked if each in ends] if asked <= ends.keys() else found.indexes
        parts.append(b"MODSEQ %d" % highest_modseq(found.session, indexes))
    return response.untagged(*parts)


CAPABILITIES = ("ESEARCH",)
COMMAND = Command("SEARCH", State.SELECTED, parse, Report.NOTHING, uid_form=True)
