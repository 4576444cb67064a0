"""Tests on the header and the envelope (RFC 5228 section 5): address, envelope, exists, header, size.

With `index` (RFC 5260 section 6) one of several fields of a name is looked at, with `mime` (RFC 5703 section 4) the
header of a part or of all parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.address_parts import ADDRESS_HEADERS, ADDRESS_TAGS, AddressPart, address_part
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.header import Header
from pillarbox.lib.sieve.limits import PART
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Comparison, comparison
from pillarbox.lib.sieve.mime_options import MIME_TAGS, MimeOption, mime_option
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import NUMBER, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Texts

INDEX_TAGS = {"index": TagRule("index", NUMBER), "last": TagRule("index")}
_ENVELOPE_PARTS = ("from", "to", "auth")


@dataclass(frozen=True, slots=True)
class Index:
    """Which of the fields of one name: `number` counts from 1, from the end where `last`; 0 = all."""

    number: int = 0
    last: bool = False

    def of(self, count: int) -> range:
        """The numbers, from 0, of the fields that are meant, when there are so many."""
        if not self.number:
            return range(count)
        at = count - self.number if self.last else self.number - 1
        return range(at, at + 1) if 0 <= at < count else range(0)

    def pick(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """The values of the fields that are meant."""
        return tuple(found[at] for at in self.of(len(found))) if self.number else found


@dataclass(frozen=True, slots=True)
class Where:
    """Whose header: the message's, or with `:mime` that of the part, with `:anychild` of all in it."""

    mime: bool = False
    anychild: bool = False

    def headers(self, run: Run) -> Sequence[Header]:
        """The headers that are looked at."""
        if not self.mime:
            return (run.header,)
        parts = tuple(run.part.walk()) if self.anychild else (run.part,)
        run.spend(PART * len(parts))
        # The message's own header may have been edited.
        return [run.header if part is run.content.root else part.header for part in parts]


@dataclass(frozen=True, slots=True)
class Fields:
    """The header fields that a test looks at; `constant` are their names in lower case, where no variable stands in
    them."""

    names: Texts
    index: Index
    where: Where
    constant: tuple[str, ...] | None

    def of(self, run: Run) -> list[tuple[Header, str]]:
        """The headers, and in each the names (in lower case)."""
        names = self.constant
        if names is None:
            names = tuple(name.lower() for name in self.names.get(run))
        if not self.where.mime:
            header = run.header
            return [(header, name) for name in names]
        return [(header, name) for header in self.where.headers(run) for name in names]


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """`header`."""

    fields: Fields
    option: MimeOption | None

    def of(self, run: Run) -> Sequence[str]:
        values: list[str] = []
        for header, name in self.fields.of(run):
            found = self.fields.index.pick(header.values(name))
            if self.option is not None:
                found = tuple(text for value in found for text in self.option.of(name, value))
            values += found
        return values


@dataclass(frozen=True, slots=True)
class AddressValues:
    """`address`."""

    fields: Fields
    part: AddressPart

    def of(self, run: Run) -> Sequence[str]:
        values: list[str] = []
        for header, name in self.fields.of(run):
            if name not in ADDRESS_HEADERS:
                raise RuntimeFault(f'expected a header field with addresses, not "{name}"')
            for number in self.fields.index.of(len(header.named(name))):
                values += self.part.of_list(header.addresses(name, number), run.state.delimiters)
                if self.part.kind == "all" and not header.values(name)[number]:
                    values.append("")  # a field without anything has an empty address, as with Pigeonhole
        return values


@dataclass(frozen=True, slots=True)
class EnvelopeValues:
    """`envelope`."""

    names: Texts
    part: AddressPart

    def of(self, run: Run) -> Sequence[str]:
        values: list[str] = []
        for name in self.names.get(run):
            lower = name.lower()
            if lower not in _ENVELOPE_PARTS:
                raise RuntimeFault(f'expected a part of the envelope, not "{name}"')
            address = run.message.envelope.get(lower)
            if address == "":
                values.append("")  # the null reverse-path, whichever part of it is asked for
            elif address is not None:
                values += self.part.of_text(address, run.state.delimiters)
        return values


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists`: all of the fields."""

    names: Texts
    where: Where

    def holds(self, run: Run) -> bool:
        headers = self.where.headers(run)
        return all(any(header.named(name.lower()) for header in headers) for name in self.names.get(run))


@dataclass(frozen=True, slots=True)
class Size:
    """`size`: the message, its header as it is now, is greater, or smaller."""

    over: bool
    limit: int

    def holds(self, run: Run) -> bool:
        size = run.message.size + (run.header.growth() if run.header.edited else 0)
        return size > self.limit if self.over else size < self.limit


def index(call: Call) -> Index:
    """The arguments `:index` and `:last`.  Raises SieveError."""
    if call.has("last") and not call.has("index"):
        raise call.error("expected ':index' beside ':last'", "last")
    number = call.number("index")
    if call.has("index") and not number:
        raise call.error("expected ':index' from 1 on", "index")
    return Index(number, call.has("last"))


def fields(call: Call, names: str = "headers") -> Fields:
    """The fields whose names are in this argument, with `index` and `where`.  Raises SieveError."""
    texts = call.texts(names)
    constant = None if texts.constant is None else tuple(name.lower() for name in texts.constant)
    return Fields(texts, index(call), where(call), constant)


def where(call: Call) -> Where:
    """The arguments `:mime` and `:anychild`.  Raises SieveError."""
    if call.has("anychild") and not call.has("mime"):
        raise call.error("expected ':mime' beside ':anychild'", "anychild")
    return Where(call.has("mime"), call.has("anychild"))


def _header(call: Call) -> Comparison:
    return comparison(call, HeaderValues(fields(call), mime_option(call)))


def _address(call: Call) -> Comparison:
    for each in call.texts("headers").items:
        if each.constant is not None and each.constant.lower() not in ADDRESS_HEADERS:
            raise call.error(f'expected a header field with addresses, not "{each.constant}"', "headers")
    return comparison(call, AddressValues(fields(call), address_part(call)))


def _envelope(call: Call) -> Comparison:
    names = call.texts("parts")
    for each in names.items:
        if each.constant is not None and each.constant.lower() not in _ENVELOPE_PARTS:
            raise call.error(f'expected one of "from", "to", "auth", not "{each.constant}"', "parts")
    return comparison(call, EnvelopeValues(names, address_part(call)))


def _size(call: Call) -> Size:
    if not call.one_of("over", "under"):
        raise call.error("expected ':over' or ':under' behind 'size'")
    return Size(call.has("over"), call.number("limit"))


_HEADERS, _KEYS = Positional("headers", STRINGS), Positional("keys", STRINGS)
_ANY_PART = {"mime": TagRule("mime"), "anychild": TagRule("mime")}

TESTS = {
    "header": Rule(_header, positional=(_HEADERS, _KEYS), tags=MATCH_TAGS | INDEX_TAGS | MIME_TAGS),
    "address": Rule(_address, positional=(_HEADERS, _KEYS), tags=MATCH_TAGS | ADDRESS_TAGS | INDEX_TAGS | _ANY_PART),
    "envelope": Rule(_envelope, "envelope", (Positional("parts", STRINGS), _KEYS), tags=MATCH_TAGS | ADDRESS_TAGS),
    "exists": Rule(lambda call: Exists(call.texts("headers"), where(call)), positional=(_HEADERS,), tags=_ANY_PART),
    "size": Rule(
        _size,
        positional=(Positional("limit", NUMBER),),
        tags={"over": TagRule(group="relation"), "under": TagRule(group="relation")},
    ),
}
