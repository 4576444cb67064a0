"""SEARCH and UID SEARCH (RFC 9051 section 6.4.4; RFC 3501 form of the answer unless RETURN asks for ESEARCH)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from pillarbox.imapd.commands import options
from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.options import Question, SearchFound, SearchReturn, read_options
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.search import parse_program
from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.run import search
from pillarbox.imapd.search.sorting import Value
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.selected import Selected
from pillarbox.lib.mime.charset import find_codec

Returned: TypeAlias = Mapping[bytes, SearchReturn]
"""Return options by name."""


class Minimum(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"MIN %d" % found.numbers[0] if found.numbers else b""

    def kept(self, found: SearchFound) -> Sequence[int]:
        return found.indexes[:1]


class Maximum(SearchReturn):
    def data(self, found: SearchFound) -> bytes:
        return b"MAX %d" % found.numbers[-1] if found.numbers else b""

    def kept(self, found: SearchFound) -> Sequence[int]:
        return found.indexes[-1:]


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


def parse_return(cursor: Cursor) -> Returned | None:
    """search-return-opts and the space behind them (RFC 4731); None where the old form is wanted."""
    if not cursor.accept(b"RETURN "):
        return None
    start = cursor.position
    found: Returned = read_options(cursor, options.SEARCH_RETURN, "search option")
    if cursor.data[start : cursor.position].upper().count(b"PARTIAL ") > 1:  # RFC 9394 section 3.1
        raise BadSyntax("PARTIAL may stand there once")
    cursor.space()
    for option in found.values():
        option.check(found)
    return found or {b"ALL": Every()}


def parse_charset(cursor: Cursor) -> tuple[str, bool]:
    """A charset by name; "us-ascii" and False where there is no such charset."""
    charset = cursor.astring().decode("ascii", "replace")
    return (charset, True) if find_codec(charset) is not None else ("us-ascii", False)


def unknown_charset() -> CommandFailed:
    """The answer to a charset that there is not."""
    return CommandFailed("Unknown charset", "BADCHARSET (US-ASCII UTF-8)")


def charset_and_space(syntax: Syntax) -> tuple[str, bool]:
    """[CHARSET charset SP]: what the texts of the program are in, and whether there is such a charset."""
    cursor = syntax.cursor
    if cursor.accept(b"CHARSET "):
        if b"UTF8=ACCEPT" in syntax.enabled:
            raise BadSyntax("no CHARSET is needed once UTF8=ACCEPT is enabled (RFC 6855 section 3)")
        found = parse_charset(cursor)
        cursor.space()
        return found
    # 8-bit text without a charset: what a client that forgets to say means.
    return "us-ascii" if cursor.data.isascii() else "utf-8", True


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    returned = parse_return(cursor)
    charset, known = charset_and_space(syntax)
    key = parse_program(cursor, charset)
    cursor.end()

    async def run(session: Session) -> Reply:
        if not known:
            give_up(session, returned)
            raise unknown_charset()
        if key.asks_modseq:
            session.need_modseqs()
        indexes: list[int] = []
        relevancies: list[int] = []
        limit = MessageLimit(session)

        def take(candidate: Candidate) -> None:
            indexes.append(candidate.index)
            relevancies.append(candidate.relevancy)

        try:
            await search(session, session, key, take, narrow=limit.highest)
        except BaseException:
            give_up(session, returned)
            raise
        answer(session, syntax, returned, indexes, relevancies, Question(syntax.tag, key, None))
        return limit.reply(Reply("Search completed."))

    return run


def give_up(session: Session, returned: Returned | None) -> None:
    """Tell the options that there is no result."""
    for option in (returned or {}).values():
        option.failed(session)


def answer(
    session: Session,
    syntax: Syntax,
    returned: Returned | None,
    indexes: Sequence[int],
    relevancies: Sequence[int],
    question: Question,
    values: Sequence[tuple[Value, ...]] = (),
) -> None:
    """Send what was found, in the form that was asked for."""
    uids = session.mailbox.uids
    numbers = [uids[index] for index in indexes] if syntax.by_uid else [index + 1 for index in indexes]
    if returned is None and question.criteria is None and b"IMAP4REV2" in session.enabled:
        returned = {b"ALL": Every()}
    if returned is None:
        words = [b"%d" % number for number in numbers]
        if question.key.asks_modseq and indexes:
            words.append(b"(MODSEQ %d)" % highest_modseq(session.mailbox, indexes))
        session.send(response.untagged(b"SEARCH" if question.criteria is None else b"SORT", *words))
        return
    found = SearchFound(session, syntax.by_uid, indexes, numbers, relevancies, question, values)
    for option in returned.values():
        option.done(found, returned)
    if not all(option.silent for option in returned.values()):
        session.send(extended_line(syntax, returned, found, with_modseq=question.key.asks_modseq))


def highest_modseq(selected: Selected, indexes: Iterable[int]) -> int:
    """The highest MODSEQ of these messages (RFC 7162 section 3.1.6)."""
    return max(map(selected.mailbox.messages.modseqs().__getitem__, indexes))


def extended_line(syntax: Syntax, returned: Returned, found: SearchFound, *, with_modseq: bool = False) -> bytes:
    """The untagged ESEARCH."""
    parts = [b"ESEARCH", b"(TAG %b)" % response.string(syntax.tag)]
    if syntax.by_uid:
        parts.append(b"UID")
    parts += filter(None, (option.data(found) for option in returned.values()))
    if with_modseq and found.indexes:
        # RFC 4731 section 3.2: of all that were found, unless only ends were asked for.
        ends = {b"MIN": found.indexes[0], b"MAX": found.indexes[-1]}
        asked = {name for name, option in returned.items() if not option.silent}
        indexes = [ends[each] for each in asked] if asked <= ends.keys() else found.indexes
        parts.append(b"MODSEQ %d" % highest_modseq(found.session.mailbox, indexes))
    return response.untagged(*parts)


CAPABILITIES = ("ESEARCH", "I18NLEVEL=1")
COMMAND = Command("SEARCH", State.SELECTED, parse, Report.NOTHING, uid_form=True)
