"""PARTIAL: a page of a result (RFC 9394; RFC 5267 section 4.4), of SEARCH, SORT and UID FETCH."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.options import FetchModifier, SearchFound, SearchReturn
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SequenceSet, format_set
from pillarbox.imapd.session.context import Session

T = TypeVar("T")


class Page:
    """partial-range: from one place to another, counted from the beginning, or with `-` from the end."""

    def __init__(self, cursor: Cursor) -> None:
        start = cursor.position
        cursor.space()
        backwards = cursor.accept(b"-")
        first = cursor.nz_number()
        cursor.expect(b":")
        if cursor.accept(b"-") is not backwards:
            raise BadSyntax("both ends of a PARTIAL range count from the same side")
        last = cursor.nz_number()
        self.text = cursor.data[start + 1 : cursor.position]
        self._backwards = backwards
        self._low, self._high = min(first, last), max(first, last)

    @property
    def size(self) -> int:
        """How many messages it may show."""
        return self._high - self._low + 1

    def of(self, result: Sequence[T]) -> Sequence[T]:
        """The part of a result that the page shows."""
        if self._backwards:
            return result[max(0, len(result) - self._high) : max(0, len(result) - self._low + 1)]
        return result[self._low - 1 : self._high]


class PartialResult(SearchReturn):
    def __init__(self, cursor: Cursor) -> None:
        self._page = Page(cursor)

    def check(self, returned: Mapping[bytes, SearchReturn]) -> None:
        if b"ALL" in returned:
            raise BadSyntax("PARTIAL and ALL exclude each other")

    def data(self, found: SearchFound) -> bytes:
        return b"PARTIAL (%b %b)" % (self._page.text, format_set(self._page.of(found.numbers)) or b"NIL")

    def kept(self, found: SearchFound) -> Sequence[int]:
        return self._page.of(found.indexes)


class PartialFetch(FetchModifier):
    chooses = True

    def __init__(self, cursor: Cursor) -> None:
        self._page = Page(cursor)

    def check(self, syntax: Syntax, numbers: SequenceSet, modifiers: Mapping[bytes, FetchModifier]) -> None:
        if not syntax.by_uid:
            raise BadSyntax("PARTIAL is for UID FETCH")

    def narrow(self, session: Session, indexes: Sequence[int], lowest: int) -> Sequence[int]:
        MessageLimit(session).check(self._page.size)  # RFC 9738 section 3.1
        return self._page.of(indexes)


SEARCH_RETURN: dict[bytes, Callable[[Cursor], SearchReturn]] = {b"PARTIAL": PartialResult}
FETCH_MODIFIERS: dict[bytes, Callable[[Cursor], FetchModifier]] = {b"PARTIAL": PartialFetch}
CAPABILITIES = ("PARTIAL",)
