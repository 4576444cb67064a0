"""What a key of SEARCH is, and the message that it is asked about."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Protocol

from pillarbox.imapd.fetch.header_fields import FIELD, KEPT, short_header
from pillarbox.imapd.protocol.dates import header_day, local_day
from pillarbox.imapd.search import summary
from pillarbox.imapd.session.selected import Selected
from pillarbox.lib.message.header import first_value, unfold, values
from pillarbox.lib.mime import Part
from pillarbox.lib.store.interface import TEXT_BODY, Mailbox, MessageContent, MessageState


class Source(Protocol):
    """Where the messages are: a session with its selected mailbox, or another mailbox (`search.elsewhere`)."""

    @property
    def mailbox(self) -> Selected:
        """The mailbox and its numbering."""

    def content(self, uid: int) -> MessageContent:
        """The message, opened; good until the next one is asked for.  Raises MessageGone."""

    def tree(self, uid: int) -> Part:
        """The part tree of a message.  Raises MessageGone."""


class Candidate:
    """One message under SEARCH; what costs something is looked up when a key asks for it.  May raise MessageGone."""

    __slots__ = ("_short", "_state", "_summary", "index", "relevancy", "source", "uid")

    def __init__(
        self, source: Source, index: int, uid: int, short: bytes | None = None, summary: bytes | None = None
    ) -> None:
        """`short` is the short header (`fetch.header_fields`), `summary` that of `search.summary`, where at hand."""
        self.source = source
        self.index = index
        self.uid = uid
        self.relevancy = 100
        """How well it fits (RFC 6203 section 4); keys that find something that is only similar lower it."""
        self._short = short
        self._summary = summary
        self._state: MessageState | None = None

    @property
    def state(self) -> MessageState:
        if self._state is None:
            self._state = self.source.mailbox.state(self.index)
        return self._state

    @property
    def store_mailbox(self) -> Mailbox:
        return self.source.mailbox.mailbox

    @property
    def size(self) -> int:
        return self.store_mailbox.size(self.uid)

    @property
    def internal_date(self) -> float:
        return self.store_mailbox.internal_date(self.uid)

    @property
    def internal_day(self) -> date:
        return local_day(self.internal_date)

    @property
    def sent_day(self) -> date:
        """The day of the Date: field; that of INTERNALDATE where the message does not say."""
        value = self.field(b"Date")
        return (header_day(value) if value is not None else None) or self.internal_day

    @property
    def sent(self) -> float:
        """The sent date (RFC 5256 section 2.2): that of the Date: field, else INTERNALDATE."""
        sent = self.summary[0]
        return float(sent) if sent else self.internal_date

    @property
    def summary(self) -> list[bytes]:
        """The lines of `search.summary`."""
        if self._summary is None:
            self._summary = summary.summarize(self._short_header())
            self.store_mailbox.cache.put(summary.FIELD, self.uid, self._summary)
        return self._summary.split(b"\n")

    @property
    def content(self) -> MessageContent:
        return self.source.content(self.uid)

    @property
    def header(self) -> bytes:
        return self.content.header()

    def field(self, name: bytes) -> bytes | None:
        """The unfolded value of the first field of that name."""
        if name.lower() not in KEPT:
            return first_value(self.header, name)
        found = _field(name).search(self._short_header())
        return None if found is None else unfold(found[1].removesuffix(b"\r"))

    def fields(self, name: bytes) -> Sequence[bytes]:
        """The unfolded values of all fields of that name."""
        if name.lower() not in KEPT:
            return list(values(self.header, name))
        return [unfold(value.removesuffix(b"\r")) for value in _field(name).findall(self._short_header())]

    def _short_header(self) -> bytes:
        if self._short is None:
            cache = self.store_mailbox.cache
            self._short = cache.get(FIELD, self.uid)
            if self._short is None:
                header = self.store_mailbox.header(self.uid)
                self._short = short_header(self.header if header is None else header)
                cache.put(FIELD, self.uid, self._short)
        return self._short

    @property
    def tree(self) -> Part:
        return self.source.tree(self.uid)


@lru_cache(256)
def _field(name: bytes) -> re.Pattern[bytes]:
    """Finds the value of such a field in a short header, which has nothing but fields."""
    return re.compile(rb"^%b[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)" % re.escape(name), re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TextLook:
    """A text that the full-text index can be asked about: the folded needle, and TEXT_BODY, TEXT_HEADER or both."""

    needle: str
    fields: frozenset[str]

    @property
    def specific(self) -> bool:
        """Whether the index can tell much: two characters are in nearly every message."""
        return len(self.needle) > 2

    @property
    def searches_text(self) -> bool:
        """Whether it is about more than the header: whoever asks this will be glad of an index."""
        return TEXT_BODY in self.fields


@dataclass(frozen=True, slots=True)
class View:
    """A mailbox as it is while a search runs over it."""

    selected: Selected
    saved: Sequence[int] = ()
    """The UIDs that `$` stands for (RFC 5182), ascending."""
    hints: Mapping[TextLook, Collection[int]] = field(default_factory=dict)
    """The positions that alone can match, as far as the index has told."""


class Key(ABC):
    """A condition.  `cost` orders those that must all hold: 0 flags, 1 a file's date or size, 10 header, 100 body."""

    cost: int = 0
    asks_modseq = False
    """The answer tells the highest MODSEQ, and the client counts as CONDSTORE-aware (RFC 7162 section 3.1.5)."""
    numbered = False
    """It names messages by the numbers of the selected mailbox."""
    only: Collection[int] | None = None
    """The positions that alone can match, where the key knows them."""

    def bind(self, view: View) -> Key:
        """The key for this mailbox as it is now."""
        return self

    def texts(self) -> Iterator[TextLook]:
        """What it would like to know of the index before it is bound."""
        return iter(())

    def loosened(self) -> Key:
        """The key for a FUZZY search: it may match more."""
        return self

    @abstractmethod
    def matches(self, candidate: Candidate) -> bool:
        """Whether the message matches."""
