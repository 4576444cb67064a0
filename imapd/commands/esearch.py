"""ESEARCH: a search in several mailboxes at once, none of which need be selected (MULTISEARCH, RFC 7377).

Each mailbox with a match gets an ESEARCH response with its name and UIDVALIDITY, and UIDs.  Mailboxes that cannot be
read are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Report, Syntax
from pillarbox.imapd.commands.options import SearchFound
from pillarbox.imapd.commands.search import (
    Every,
    Returned,
    charset_and_space,
    give_up,
    highest_modseq,
    parse_return,
    unknown_charset,
)
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search import parse_program
from pillarbox.imapd.search.elsewhere import Elsewhere
from pillarbox.imapd.search.key import Candidate, Key, Source
from pillarbox.imapd.search.run import search
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELIMITER, INBOX, StoreError

MAILBOXES_LIMIT: Final = 1000
"""Mailboxes that one command names; `personal` and `subtree` may mean more."""

_Filter: TypeAlias = Callable[[Session], Iterable[str]]
"""The names of mailboxes that a filter stands for (RFC 5465 section 6)."""


def _selected(session: Session) -> Iterable[str]:
    if session.selected is None:
        raise BadSyntax("no mailbox is selected")
    return (session.selected.mailbox.name,)


def _personal(session: Session) -> Iterable[str]:
    foreign = tuple(prefix for prefix in session.store.namespaces() if prefix)
    return (name for name in _all(session) if not name.startswith(foreign))


def _subscribed(session: Session) -> Iterable[str]:
    return session.store.subscriptions()


def _all(session: Session) -> Iterable[str]:
    return (entry.name for entry in session.store.list() if entry.selectable)


def _subtree(names: tuple[str, ...], *, levels: bool) -> _Filter:
    def expand(session: Session) -> Iterable[str]:
        for name in _all(session):
            for top in names:
                below = name.removeprefix(top + DELIMITER)
                if name == top or (below != name and (levels or DELIMITER not in below)):
                    yield name

    return expand


_FILTERS: Final[dict[bytes, _Filter]] = {
    b"SELECTED": _selected,
    b"INBOXES": lambda session: (INBOX,),
    b"PERSONAL": _personal,
    b"SUBSCRIBED": _subscribed,
}


def _names(cursor: Cursor) -> tuple[str, ...]:
    """one-or-more-mailbox."""
    cursor.space()
    if not cursor.accept(b"("):
        return (cursor.mailbox(),)
    names = [cursor.mailbox()]
    while not cursor.accept(b")"):
        cursor.space()
        names.append(cursor.mailbox())
        if len(names) > MAILBOXES_LIMIT:
            raise BadSyntax("too many mailboxes")
    return tuple(names)


def parse_source(cursor: Cursor) -> list[_Filter]:
    """esearch-source-opts and the space behind them; the selected mailbox where there are none."""
    if not cursor.accept(b"IN "):
        return [_selected]
    cursor.expect(b"(")
    filters: list[_Filter] = []
    while True:
        word = cursor.word()
        if word in _FILTERS:
            filters.append(_FILTERS[word])
        elif word == b"MAILBOXES":
            names = _names(cursor)
            filters.append(lambda session, names=names: names)  # type: ignore[misc]
        elif word in (b"SUBTREE", b"SUBTREE-ONE"):
            filters.append(_subtree(_names(cursor), levels=word == b"SUBTREE"))
        else:
            raise BadSyntax(f"unknown choice of mailboxes {word.decode('ascii')}")
        if cursor.accept(b")"):
            break
        cursor.space()
    cursor.space()
    return filters


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    filters = parse_source(cursor)
    returned = parse_return(cursor) or {b"ALL": Every()}
    charset, known = charset_and_space(syntax)
    key = parse_program(cursor, charset)
    cursor.end()
    if b"UPDATE" in returned:
        raise BadSyntax("UPDATE is for SEARCH and SORT")

    async def run(session: Session) -> Reply:
        names = list(dict.fromkeys(name for choice in filters for name in choice(session)))
        here = session.selected.mailbox.name if session.selected is not None else None
        if b"SAVE" in returned and names != [here]:
            raise BadSyntax("SAVE is for the selected mailbox alone")
        if key.numbered and names != [here]:
            raise BadSyntax("message numbers are those of the selected mailbox alone")
        if not known:
            give_up(session, returned)
            raise unknown_charset()
        for name in names:
            await session.breathe()
            if name == here:
                await _search(session, syntax, session, key, returned)
                continue
            try:
                with Elsewhere(await patiently(partial(session.store.open, name, read_only=True))) as source:
                    await _search(session, syntax, source, key, returned)
            except StoreError:
                continue
        return Reply("Search completed.")

    return run


async def _search(session: Session, syntax: Syntax, source: Source, key: Key, returned: Returned) -> None:
    indexes: list[int] = []
    relevancies: list[int] = []

    def take(candidate: Candidate) -> None:
        indexes.append(candidate.index)
        relevancies.append(candidate.relevancy)

    await search(session, source, key, take)
    selected = source.mailbox
    uids = selected.uids
    found = SearchFound(session, True, indexes, [uids[index] for index in indexes], relevancies)
    if source is session:
        for option in returned.values():
            option.done(found, returned)
    if not indexes or all(option.silent for option in returned.values()):
        return
    mailbox = selected.mailbox
    parts = [
        b"ESEARCH",
        b"(TAG %b MAILBOX %b UIDVALIDITY %d)"
        % (response.string(syntax.tag), session.mailbox_name(mailbox.name), mailbox.uid_validity),
        b"UID",
        *filter(None, (option.data(found) for option in returned.values())),
    ]
    if key.asks_modseq:
        parts.append(b"MODSEQ %d" % highest_modseq(selected, indexes))
    session.send(response.untagged(*parts))


CAPABILITIES = ("MULTISEARCH",)
COMMAND = Command("ESEARCH", ANY_STATE, parse, Report.NOTHING)
