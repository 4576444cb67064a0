"""LIST (RFC 9051 section 6.3.9; RFC 5258 LIST-EXTENDED, RFC 5819 LIST-STATUS, RFC 6154 SPECIAL-USE)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.pattern import Pattern
from pillarbox.imapd.commands.special_use import special_uses
from pillarbox.imapd.commands.status import parse_items, status_line
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELIMITER, MailboxEntry, StoreError

SELECTION = (b"SUBSCRIBED", b"RECURSIVEMATCH", b"REMOTE", b"SPECIAL-USE")
RETURN = (b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE")
PATTERN_LIMIT = 100
"""Patterns of one command."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was asked for."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[bytes] = frozenset()
    returned: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    extended: bool = False
    """The command used a form that RFC 3501 does not have."""


def parse_listing(cursor: Cursor) -> Listing:
    """list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]."""
    cursor.space()
    selection: frozenset[bytes] = frozenset()
    extended = False
    if cursor.accept(b"("):
        extended = True
        selection = _options(cursor, SELECTION)
        if b"RECURSIVEMATCH" in selection and not selection & {b"SUBSCRIBED"}:
            raise BadSyntax("RECURSIVEMATCH needs another selection option")
        cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    if cursor.accept(b"("):
        extended = True
        patterns = [cursor.list_mailbox()]
        while not cursor.accept(b")"):
            cursor.space()
            patterns.append(cursor.list_mailbox())
            if len(patterns) > PATTERN_LIMIT:
                raise BadSyntax("too many patterns")
    else:
        patterns = [cursor.list_mailbox()]
    returned: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    if not cursor.at_end:
        extended = True
        cursor.space()
        cursor.expect(b"RETURN")
        cursor.space()
        cursor.expect(b"(")
        returned, status = _return_options(cursor)
    cursor.end()
    return Listing(reference, tuple(patterns), selection, returned, status, extended)


def _options(cursor: Cursor, known: tuple[bytes, ...]) -> frozenset[bytes]:
    options: set[bytes] = set()
    while not cursor.accept(b")"):
        if options:
            cursor.space()
        word = cursor.word()
        if word not in known:
            raise BadSyntax(f"unknown option {word.decode('ascii')}")
        options.add(word)
    return frozenset(options)


def _return_options(cursor: Cursor) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    options: set[bytes] = set()
    status: tuple[bytes, ...] = ()
    while not cursor.accept(b")"):
        if options or status:
            cursor.space()
        word = cursor.word()
        if word == b"STATUS":
            cursor.space()
            status = parse_items(cursor)
        elif word in RETURN:
            options.add(word)
        else:
            raise BadSyntax(f"unknown option {word.decode('ascii')}")
    return frozenset(options), status


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the answer."""

    name: str
    attributes: tuple[bytes, ...]
    child_info: bool = False
    selectable: bool = True


class Lister:
    """Answers one command."""

    def __init__(self, session: Session, listing: Listing) -> None:
        self._listing = listing
        self._entries = {entry.name: entry for entry in session.store.list()}
        self._uses = special_uses(session.config)
        self._patterns = [Pattern(listing.reference + pattern) for pattern in listing.patterns if pattern]
        self._wants_subscribed = b"SUBSCRIBED" in listing.selection | listing.returned
        self._subscriptions = frozenset(session.store.subscriptions()) if self._wants_subscribed else frozenset()

    def rows(self) -> list[Row]:
        """The lines, in the store's order."""
        selection = self._listing.selection
        names = list(self._entries)
        if b"SUBSCRIBED" in selection:
            names = [name for name in names if name in self._subscriptions]
            names += sorted(self._subscriptions - self._entries.keys())
        if b"SPECIAL-USE" in selection:
            names = [name for name in names if name in self._uses]
        rows = [self._row(name) for name in names if self._matches(name)]
        if b"RECURSIVEMATCH" in selection:
            shown = {row.name for row in rows}
            parents = {parent for name in names for parent in _parents(name)}
            rows += [self._row(name, child_info=True) for name in sorted(parents - shown) if self._matches(name)]
        return rows

    def _matches(self, name: str) -> bool:
        return any(pattern.matches(name) for pattern in self._patterns)

    def _row(self, name: str, *, child_info: bool = False) -> Row:
        entry = self._entries.get(name) or MailboxEntry(name, selectable=False)
        attributes = []
        if name not in self._entries:
            attributes.append(b"\\NonExistent")
        elif not entry.selectable:
            attributes.append(b"\\Noselect")
        attributes.append(b"\\HasChildren" if entry.has_children else b"\\HasNoChildren")
        if self._wants_subscribed and name in self._subscriptions:
            attributes.append(b"\\Subscribed")
        if entry.selectable and name in self._uses:
            attributes.append(self._uses[name])
        return Row(name, tuple(attributes), child_info, entry.selectable)


def _parents(name: str) -> list[str]:
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:count]) for count in range(1, len(levels))]


def list_line(word: bytes, row: Row) -> bytes:
    """`* LIST (attributes) "/" name`."""
    parts = [word, response.parenthesized(row.attributes), b'"/"', response.mailbox(row.name)]
    if row.child_info:
        parts.append(b'("CHILDINFO" ("SUBSCRIBED"))')
    return response.untagged(*parts)


def parse(syntax: Syntax) -> Action:
    listing = parse_listing(syntax.cursor)

    async def run(session: Session) -> Reply:
        if listing.patterns == ("",) and not listing.extended:
            # Section 6.3.9: an empty pattern asks for the delimiter and the root of the reference.
            session.send(response.untagged(b'LIST (\\Noselect) "/" ""'))
            return Reply("List completed.")
        for row in Lister(session, listing).rows():
            session.send(list_line(b"LIST", row))
            if listing.status and row.selectable:
                try:
                    session.send(status_line(session, row.name, listing.status))
                except StoreError:
                    pass  # RFC 5819 section 2: a mailbox without STATUS is simply not told of
            await session.breathe()
        return Reply("List completed.")

    return run


COMMAND = Command("LIST", ANY_STATE, parse)
