"""What an item of FETCH is, and the message that it is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session
from pillarbox.lib.mime import Part
from pillarbox.lib.store.interface import MessageContent, MessageState


class Message:
    """One message under FETCH; what costs something is looked up when an item asks for it."""

    __slots__ = ("index", "session", "uid")

    def __init__(self, session: Session, index: int) -> None:
        self.session = session
        self.index = index
        self.uid = session.mailbox.uids[index]

    @property
    def state(self) -> MessageState:
        return self.session.mailbox.state(self.index)

    @property
    def size(self) -> int:
        return self.session.mailbox.mailbox.size(self.uid)

    @property
    def internal_date(self) -> float:
        return self.session.mailbox.mailbox.internal_date(self.uid)

    @property
    def content(self) -> MessageContent:
        return self.session.content(self.uid)

    @property
    def tree(self) -> Part:
        return self.session.tree(self.uid)


@dataclass(frozen=True, slots=True)
class Stream:
    """An item too large for memory: its name and `{size}`, then exactly `size` octets in pieces."""

    opening: bytes
    size: int
    chunks: Iterator[bytes]
    as_it_is: bool = False
    """NUL may stand in it: a literal8."""


@dataclass(frozen=True, slots=True)
class Column:
    """An item of many messages at once: how it stands in a response (one conversion of `%`), and what goes in there.

    None where only `render` can tell.
    """

    form: bytes
    values: Sequence[bytes | int | None]


@dataclass(frozen=True, slots=True)
class Literals:
    """A column of literals in pieces, each there only while it is sent."""

    name: bytes
    values: Iterator[Sequence[bytes] | None]


class Item(ABC):
    """One item that a client asked for.  Items without arguments have one instance."""

    sets_seen: bool = False
    """Fetching it sets \\Seen."""
    asks_modseq: bool = False
    """It makes the client one that is told of MODSEQs (RFC 7162 section 3.1)."""

    def column(self, session: Session, start: int, stop: int) -> Column | Literals | None:
        """The item of the messages at the positions [start, stop); None where each must be rendered by itself."""
        return None

    @abstractmethod
    def render(self, message: Message) -> bytes | Stream:
        """Name and value as they stand in the response.  Raises MessageGone, StoreError."""


class CachedItem(Item):
    """An item that never changes: worked out once for each message, by whoever asks first."""

    name: bytes
    field: str
    """In the mailbox's cache."""

    @abstractmethod
    def value(self, message: Message) -> bytes:
        """Work it out.  Raises MessageGone, StoreError."""

    def render(self, message: Message) -> bytes:
        cache = message.session.mailbox.mailbox.cache
        known = cache.get(self.field, message.uid)
        if known is None:
            known = self.value(message)
            cache.put(self.field, message.uid, known)
        return b"%b %b" % (self.name, known)

    def column(self, session: Session, start: int, stop: int) -> Column:
        selected = session.mailbox
        return Column(self.name + b" %b", selected.mailbox.cache.get_many(self.field, selected.uids[start:stop]))


ItemParser: TypeAlias = Callable[[Cursor], Item]
"""Reads what follows an item's name."""


def plain(item: Item) -> ItemParser:
    """An item without arguments."""
    return lambda cursor: item
