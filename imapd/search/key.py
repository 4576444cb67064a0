"""What a key of SEARCH is, and the message that it is asked about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from datetime import date

from pillarbox.imapd.protocol.dates import header_day, local_day
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.selected import Selected
from pillarbox.lib.message.header import first_value
from pillarbox.lib.mime import Part
from pillarbox.lib.store.interface import MessageContent, MessageState


class Candidate:
    """One message under SEARCH; what costs something is looked up when a key asks for it.  May raise MessageGone."""

    __slots__ = ("index", "session", "state")

    def __init__(self, session: Session, index: int) -> None:
        self.session = session
        self.index = index
        self.state: MessageState = session.mailbox.state(index)

    @property
    def size(self) -> int:
        return self.session.mailbox.mailbox.size(self.state.uid)

    @property
    def internal_date(self) -> float:
        return self.session.mailbox.mailbox.internal_date(self.state.uid)

    @property
    def internal_day(self) -> date:
        return local_day(self.internal_date)

    @property
    def sent_day(self) -> date:
        """The day of the Date: field; that of INTERNALDATE where the message does not say."""
        value = first_value(self.header, b"Date")
        return (header_day(value) if value is not None else None) or self.internal_day

    @property
    def content(self) -> MessageContent:
        return self.session.content(self.state.uid)

    @property
    def header(self) -> bytes:
        return self.content.header()

    @property
    def tree(self) -> Part:
        return self.session.tree(self.state.uid)


class Key(ABC):
    """A condition.  `cost` orders those that must all hold: 0 flags, 1 a file's date or size, 10 header, 100 body."""

    cost: int = 0
    only: Collection[int] | None = None
    """The positions that alone can match, where the key knows them."""

    asks_modseq: bool = False
    """MODSEQ is in it: the answer tells the highest MODSEQ of what was found (RFC 7162 section 3.1.6)."""

    def bind(self, selected: Selected) -> Key:
        """The key for this mailbox as it is now."""
        return self

    @abstractmethod
    def matches(self, candidate: Candidate) -> bool:
        """Whether the message matches."""
