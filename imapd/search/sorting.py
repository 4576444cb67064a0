"""The keys of SORT (RFC 5256 section 3, DISPLAYFROM and DISPLAYTO of RFC 5957, RELEVANCY of RFC 6203)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pillarbox.imapd.fetch.header_fields import FIELD as SHORT
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.summary import FIELD as SUMMARY
from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.mime.addresses import Address, parse_addresses

Value: TypeAlias = str | bytes | float
CRITERIA_LIMIT: Final = 64
"""Keys of one command; there are not even as many kinds."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One key of a SORT."""

    value: Callable[[Candidate], Value]
    field: str | None
    """What it wants of the mailbox's cache."""
    reverse: bool = False


def _first_address(candidate: Candidate, field: bytes) -> Address | None:
    value = candidate.field(field)
    return next((address for address in parse_addresses(value) if address.host is not None), None) if value else None


def _mailbox(field: bytes) -> Callable[[Candidate], Value]:
    """The local part of the first address, "" where there is none."""

    def value(candidate: Candidate) -> Value:
        address = _first_address(candidate, field)
        return casemap(decode_words(address.mailbox)) if address is not None and address.mailbox else ""

    return value


def _display(field: bytes) -> Callable[[Candidate], Value]:
    """The name of the first address as it is shown, else mailbox@host (RFC 5957 section 3)."""

    def value(candidate: Candidate) -> Value:
        address = _first_address(candidate, field)
        if address is None:
            return ""
        if address.name and (name := decode_words(address.name).strip()):
            return casemap(name)
        return casemap(decode_words((address.mailbox or b"") + b"@" + (address.host or b"")))

    return value


CRITERIA: Final[dict[bytes, Callable[[Candidate], Value]]] = {
    b"ARRIVAL": lambda candidate: candidate.internal_date,
    b"CC": _mailbox(b"Cc"),
    b"DATE": lambda candidate: candidate.sent,
    b"DISPLAYFROM": _display(b"From"),
    b"DISPLAYTO": _display(b"To"),
    b"FROM": _mailbox(b"From"),
    b"RELEVANCY": lambda candidate: -candidate.relevancy,
    b"SIZE": lambda candidate: candidate.size,
    b"SUBJECT": lambda candidate: candidate.summary[2],
    b"TO": _mailbox(b"To"),
}
_FIELDS: Final[dict[bytes, str | None]] = {
    **dict.fromkeys((b"DATE", b"SUBJECT"), SUMMARY),
    **dict.fromkeys((b"ARRIVAL", b"RELEVANCY", b"SIZE")),
}
"""Where what they want lies in the mailbox's cache; for all others that is the short header."""


def parse_criteria(cursor: Cursor) -> tuple[Criterion, ...]:
    """sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"."""
    cursor.expect(b"(")
    criteria: list[Criterion] = []
    while True:
        reverse = False
        word = cursor.word()
        if word == b"REVERSE":
            reverse = True
            cursor.space()
            word = cursor.word()
        value = CRITERIA.get(word)
        if value is None:
            raise BadSyntax(f"unknown sort key {word.decode('ascii')}")
        criteria.append(Criterion(value, _FIELDS.get(word, SHORT), reverse))
        if len(criteria) > CRITERIA_LIMIT:
            raise BadSyntax("too many sort keys")
        if cursor.accept(b")"):
            return tuple(criteria)
        cursor.space()


def sort_values(criteria: tuple[Criterion, ...], candidate: Candidate) -> tuple[Value, ...]:
    """What the message is sorted by.  May raise MessageGone."""
    return tuple(criterion.value(candidate) for criterion in criteria)


def in_order(criteria: tuple[Criterion, ...], values: dict[int, tuple[Value, ...]]) -> list[int]:
    """The positions in the order wanted; those that are alike in all keys by their numbers."""
    found = sorted(values)
    for place in range(len(criteria) - 1, -1, -1):

        def value(index: int, place: int = place) -> Value:
            return values[index][place]

        found.sort(key=value, reverse=criteria[place].reverse)
    return found
