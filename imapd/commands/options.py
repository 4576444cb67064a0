"""Options that extensions add to commands: the tables, and what stands in them.

A module of `commands` may carry, beside its COMMAND or without one, any of the tables named in `TABLES` under that
name, and CAPABILITIES (see `protocol.capabilities`).  `register` gathers them when the package is loaded; a command
looks its options up here by the word (upper case) that the client wrote.  An entry reads what follows its word (with
the space before it) and gives an object whose methods the command calls.

So an extension is a file, and one line in the list of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, TypeAlias

from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.fetch.item import Item
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SequenceSet
from pillarbox.imapd.search.key import Key
from pillarbox.imapd.search.sorting import Criterion, Value
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MailboxEntry, MailboxStatus


class SelectParameter:
    """A parameter of SELECT and EXAMINE (RFC 4466 section 2.1)."""

    def before(self, session: Session) -> None:
        """The mailbox is about to be opened.  Raises BadSyntax, CommandFailed."""

    async def opened(self, session: Session) -> None:
        """The mailbox is open and described: send what else there is to say."""


class FetchModifier:
    """A modifier of FETCH (RFC 4466 section 2.3)."""

    items: tuple[Item, ...] = ()
    """Items that are fetched beside those that the client named."""
    chooses: bool = False
    """It says by itself how many messages are wanted; MESSAGELIMIT cuts nothing off (RFC 9738 section 3.1)."""

    def check(self, syntax: Syntax, numbers: SequenceSet, modifiers: Mapping[bytes, FetchModifier]) -> None:
        """Look whether it fits the command, its messages, and the other modifiers.  Raises BadSyntax."""

    def narrow(self, session: Session, indexes: Sequence[int], lowest: int) -> Sequence[int]:
        """Which of these messages (positions, ascending) are to be fetched; other responses may be sent first.

        Of messages with lower UIDs than `lowest` nothing is told (MESSAGELIMIT).
        """
        return indexes


@dataclass(frozen=True, slots=True)
class SearchFound:
    """What a search found: positions and the numbers that the client gets for them (UIDs if `by_uid`).

    SEARCH gives them ascending, SORT in the order that was asked for.
    """

    session: Session
    by_uid: bool
    indexes: Sequence[int]
    numbers: Sequence[int]
    relevancies: Sequence[int] = ()
    """How well each fits (RFC 6203 section 4)."""
    question: Question | None = None
    """What was asked; None where the search was not in the selected mailbox."""
    values: Sequence[tuple[Value, ...]] = ()
    """What each was sorted by."""

    def uids(self, indexes: Iterable[int]) -> tuple[int, ...]:
        """The UIDs of these positions, ascending."""
        uids = self.session.mailbox.uids
        return tuple(sorted({uids[index] for index in indexes}))


@dataclass(frozen=True, slots=True)
class Question:
    """A search of the selected mailbox, with which it can be asked again."""

    tag: bytes
    key: Key
    criteria: tuple[Criterion, ...] | None
    """What to sort by; None for SEARCH."""


class SearchReturn:
    """A return option of SEARCH (RFC 4731 section 3.1)."""

    silent = False
    """Alone it brings no ESEARCH response."""
    decides = True
    """It has a say in what SAVE keeps."""

    def check(self, returned: Mapping[bytes, SearchReturn]) -> None:
        """Look whether it fits the others.  Raises BadSyntax."""

    def data(self, found: SearchFound) -> bytes:
        """What it adds to the ESEARCH response; empty for nothing."""
        return b""

    def kept(self, found: SearchFound) -> Sequence[int] | None:
        """The positions that SAVE keeps for it (RFC 9051 section 6.4.4.4); None for all that were found."""
        return None

    def done(self, found: SearchFound, returned: Mapping[bytes, SearchReturn]) -> None:
        """The search is over, and its result not yet told."""

    def failed(self, session: Session) -> None:
        """The search could not be done."""


class ListSelection:
    """A selection option of LIST (RFC 5258 section 3)."""

    def keeps(self, session: Session, entry: MailboxEntry) -> bool:
        """Whether the mailbox is to be shown."""
        return True


class ListReturn:
    """A return option of LIST (RFC 5258 section 3.2)."""

    def attributes(self, session: Session, entry: MailboxEntry) -> Iterable[bytes]:
        """More attributes for the mailbox's line."""
        return ()

    def lines(self, session: Session, entry: MailboxEntry) -> Iterable[bytes]:
        """Responses that follow the mailbox's line.  Raises StoreError: nothing follows."""
        return ()


StatusItem: TypeAlias = Callable[[Session, str, MailboxStatus], bytes]
"""The value of an item of STATUS, given the mailbox's name and counts.  Raises StoreError."""

SELECT_PARAMETERS: Final[dict[bytes, Callable[[Cursor], SelectParameter]]] = {}
FETCH_MODIFIERS: Final[dict[bytes, Callable[[Cursor], FetchModifier]]] = {}
STORE_MODIFIERS: Final[dict[bytes, Callable[[Cursor], int]]] = {}
"""UNCHANGEDSINCE is the only one that there is; its value is the sequence."""
SEARCH_RETURN: Final[dict[bytes, Callable[[Cursor], SearchReturn]]] = {}
LIST_SELECTION: Final[dict[bytes, Callable[[Cursor], ListSelection]]] = {}
LIST_RETURN: Final[dict[bytes, Callable[[Cursor], ListReturn]]] = {}
STATUS_ITEMS: Final[dict[bytes, StatusItem]] = {}
STATUS_SIZE_ITEMS: Final[set[bytes]] = set()
"""Items of STATUS that need the sum of the sizes."""
ENABLES: Final[dict[bytes, Callable[[Session], None]]] = {}
"""What ENABLE knows (RFC 5161), and what is to happen when it is enabled; the name joins `Session.enabled`."""

TABLES: Final[dict[str, Any]] = {
    "SELECT_PARAMETERS": SELECT_PARAMETERS,
    "FETCH_MODIFIERS": FETCH_MODIFIERS,
    "STORE_MODIFIERS": STORE_MODIFIERS,
    "SEARCH_RETURN": SEARCH_RETURN,
    "LIST_SELECTION": LIST_SELECTION,
    "LIST_RETURN": LIST_RETURN,
    "STATUS_ITEMS": STATUS_ITEMS,
    "STATUS_SIZE_ITEMS": STATUS_SIZE_ITEMS,
    "ENABLES": ENABLES,
}


def register(module: ModuleType) -> None:
    """Take the module's tables in."""
    for name, table in TABLES.items():
        table.update(vars(module).get(name, ()))


def read_options(cursor: Cursor, known: Mapping[bytes, Callable[[Cursor], Any]], what: str) -> dict[bytes, Any]:
    """ "(" [option *(SP option)] ")": what was read, by word, in the order written; the last one of a kind counts.

    Raises BadSyntax.
    """
    cursor.expect(b"(")
    options: dict[bytes, Any] = {}
    while not cursor.accept(b")"):
        if options:
            cursor.space()
        word = cursor.word()
        parse = known.get(word)
        if parse is None:
            raise BadSyntax(f"unknown {what} {word.decode('ascii')}")
        options[word] = parse(cursor)
    return options
