"""LIST (RFC 9051 section 6.3.9; RFC 5258 LIST-EXTENDED, RFC 5819 LIST-STATUS, RFC 6154 SPECIAL-USE)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pillarbox.imapd.commands import options
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.options import ListReturn, ListSelection, read_options
from pillarbox.imapd.commands.pattern import Pattern
from pillarbox.imapd.commands.special_use import special_uses
from pillarbox.imapd.commands.status import parse_items, status_line
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELIMITER, MailboxEntry, StoreError

PATTERN_LIMIT = 100
"""Patterns of one command."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was asked for."""

    reference: str
    patterns: tuple[str, ...]
    selection: Mapping[bytes, ListSelection] = field(default_factory=dict)
    returned: Mapping[bytes, ListReturn] = field(default_factory=dict)
    extended: bool = False
    """The command used a form that RFC 3501 does not have."""


def parse_listing(cursor: Cursor) -> Listing:
    """list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]."""
    cursor.space()
    selection: dict[bytes, ListSelection] = {}
    extended = False
    if cursor.peek(b"("):
        extended = True
        selection = read_options(cursor, options.LIST_SELECTION, "option")
        if b"RECURSIVEMATCH" in selection and b"SUBSCRIBED" not in selection:
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
    returned: dict[bytes, ListReturn] = {}
    if not cursor.at_end:
        extended = True
        cursor.space()
        cursor.expect(b"RETURN")
        cursor.space()
        returned = read_options(cursor, options.LIST_RETURN, "option")
    cursor.end()
    return Listing(reference, tuple(patterns), selection, returned, extended)


class WithStatus(ListReturn):
    """STATUS (RFC 5819)."""

    def __init__(self, items: tuple[bytes, ...]) -> None:
        self._items = items

    def lines(self, session: Session, entry: MailboxEntry) -> Iterable[bytes]:
        return (status_line(session, entry.name, self._items),) if entry.selectable else ()


def _with_status(cursor: Cursor) -> ListReturn:
    cursor.space()
    return WithStatus(parse_items(cursor))


LIST_SELECTION: dict[bytes, Callable[[Cursor], ListSelection]] = {
    b"RECURSIVEMATCH": lambda cursor: ListSelection(),
    b"REMOTE": lambda cursor: ListSelection(),
    b"SPECIAL-USE": lambda cursor: ListSelection(),
    b"SUBSCRIBED": lambda cursor: ListSelection(),
}
LIST_RETURN: dict[bytes, Callable[[Cursor], ListReturn]] = {
    b"CHILDREN": lambda cursor: ListReturn(),
    b"SPECIAL-USE": lambda cursor: ListReturn(),
    b"STATUS": _with_status,
    b"SUBSCRIBED": lambda cursor: ListReturn(),
}
"""\\Subscribed and the purposes are looked at and told by `Lister`, which has looked them up for all mailboxes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the answer."""

    entry: MailboxEntry
    attributes: tuple[bytes, ...]
    child_info: bool = False


class Lister:
    """Answers one command."""

    def __init__(self, session: Session, listing: Listing) -> None:
        self._session = session
        self._listing = listing
        self._entries = {entry.name: entry for entry in session.store.list()}
        self._uses = special_uses(session, self._entries.values())
        self._patterns = [Pattern(listing.reference + pattern) for pattern in listing.patterns if pattern]
        self._wants_subscribed = b"SUBSCRIBED" in listing.selection or b"SUBSCRIBED" in listing.returned
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
        names = [name for name in names if self._is_kept(name)]
        # RFC 5258 section 3.5: also a mailbox that is shown for itself tells of children that were selected.
        parents = {parent for name in names for parent in _parents(name)} if b"RECURSIVEMATCH" in selection else set()
        rows = [self.row(name, child_info=name in parents) for name in names if self._matches(name)]
        if parents:
            shown = {row.entry.name for row in rows}
            rows += [self.row(name, child_info=True) for name in sorted(parents - shown) if self._matches(name)]
        return rows

    def _matches(self, name: str) -> bool:
        return any(pattern.matches(name) for pattern in self._patterns)

    def _entry(self, name: str) -> MailboxEntry:
        return self._entries.get(name) or MailboxEntry(name, selectable=False)

    def _is_kept(self, name: str) -> bool:
        entry = self._entry(name)
        return all(option.keeps(self._session, entry) for option in self._listing.selection.values())

    def row(self, name: str, *, child_info: bool = False) -> Row:
        """The line of one mailbox."""
        entry = self._entry(name)
        attributes = []
        if name not in self._entries:
            attributes.append(b"\\NonExistent")
        elif not entry.selectable:
            attributes.append(b"\\Noselect")
        attributes.append(b"\\HasChildren" if entry.has_children else b"\\HasNoChildren")
        if self._wants_subscribed and name in self._subscriptions:
            attributes.append(b"\\Subscribed")
        if entry.selectable and name in self._uses:
            attributes += self._uses[name]
        for option in self._listing.returned.values():
            attributes += option.attributes(self._session, entry)
        return Row(entry, tuple(attributes), child_info)


def _parents(name: str) -> list[str]:
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:count]) for count in range(1, len(levels))]


def list_line(session: Session, word: bytes, row: Row) -> bytes:
    """`* LIST (attributes) "/" name`."""
    parts = [word, response.parenthesized(row.attributes), b'"/"', session.mailbox_name(row.entry.name)]
    if row.child_info:
        parts.append(b'("CHILDINFO" ("SUBSCRIBED"))')
    return response.untagged(*parts)


def _lines(option: ListReturn, session: Session, entry: MailboxEntry) -> list[bytes]:
    return list(option.lines(session, entry))


def parse(syntax: Syntax) -> Action:
    listing = parse_listing(syntax.cursor)

    async def run(session: Session) -> Reply:
        if listing.patterns == ("",) and not listing.extended:
            # Section 6.3.9: an empty pattern asks for the delimiter and the root of the reference.
            session.send(response.untagged(b'LIST (\\Noselect) "/" ""'))
            return Reply("List completed.")
        for row in Lister(session, listing).rows():
            session.send(list_line(session, b"LIST", row))
            for option in listing.returned.values():
                try:
                    session.send_all(await patiently(partial(_lines, option, session, row.entry)))
                except StoreError:
                    pass  # RFC 5819 section 2: a mailbox without STATUS is simply not told of
            await session.breathe()
        return Reply("List completed.")

    return run


CAPABILITIES = ("CHILDREN", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE")
COMMAND = Command("LIST", ANY_STATE, parse)
