"""Templates of queries and results with `%s`, `%u`, `%d` and their kin (ldap_table(5), mysql_table(5), pgsql_table(5)).

    %%      a percent sign
    %s      the key; in a result template the value
    %u %d   local part and domain of it; %u is the whole where there is no domain, without %d there is no answer
    %S %U %D   the same of the key, in results too
    %1 .. %9   labels of the key's domain, the last (top level) first

A key that lacks a part which one of a table's templates names has no answer, and the server is not asked; a value that
lacks one is left out.  What is filled in is given to `quote` first, which makes it harmless for its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

LETTERS = frozenset("suSUD123456789d")

Quote = Callable[[str], str]


def as_is(text: str) -> str:
    """The quoting of places that need none."""
    return text


@dataclass(frozen=True, slots=True)
class Slot:
    """One `%` and its letter."""

    letter: str


Piece = str | Slot


@dataclass(frozen=True, slots=True)
class Template:
    """A text with slots."""

    pieces: tuple[Piece, ...]

    def letters(self) -> frozenset[str]:
        """The letters of its slots."""
        return frozenset(piece.letter for piece in self.pieces if isinstance(piece, Slot))

    def fill(self, values: Values, quote: Quote = as_is) -> str:
        """The text with every slot filled."""
        return "".join(piece if isinstance(piece, str) else quote(values[piece.letter]) for piece in self.pieces)


Values = dict[str, str]
"""What stands for each letter."""


def parse_template(text: str) -> Template:
    """The template that a setting holds.  Raises ValueError for a `%` that means nothing."""
    pieces: list[Piece] = []
    literal, position = "", 0
    while (percent := text.find("%", position)) >= 0:
        literal += text[position:percent]
        letter = text[percent + 1 : percent + 2]
        if letter == "%":
            literal += "%"
        elif letter and letter in LETTERS:
            if literal:
                pieces.append(literal)
            literal = ""
            pieces.append(Slot(letter))
        else:
            raise ValueError(f'"%{letter}": %%, %s, %u, %d, %S, %U, %D or %1 to %9 was expected')
        position = percent + 2
    literal += text[position:]
    if literal:
        pieces.append(literal)
    return Template(tuple(pieces))


class Substitution:
    """What the templates of one table need of a key and of a value, all of them taken together."""

    __slots__ = ("_key_domain", "_key_user", "_labels", "_value_domain", "_value_user")

    def __init__(self, queries: Iterable[Template], result: Template) -> None:
        asked = frozenset(letter for query in queries for letter in query.letters())
        shown = result.letters()
        both = asked | shown
        digits = [int(letter) for letter in both if letter.isdigit()]
        self._labels = max(digits, default=0)
        self._key_domain = bool(digits) or "D" in both or "d" in asked
        self._key_user = "U" in both or "u" in asked
        self._value_domain = "d" in shown
        self._value_user = "u" in shown

    def of_key(self, key: str) -> Values | None:
        """What fills the slots of a query; None where the key lacks something, so that there is no answer."""
        if not key:
            return None
        user, at, domain = key.rpartition("@")
        if (self._key_domain and not (at and domain)) or (self._key_user and at and not user):
            return None
        if not at:
            user, domain = key, ""
        values = {"s": key, "S": key, "u": user, "U": user, "d": domain, "D": domain}
        if self._labels:
            labels = [label for label in domain.split(".") if label]
            if len(labels) < self._labels:
                return None
            values.update({str(number): labels[-number] for number in range(1, self._labels + 1)})
        return values

    def of_value(self, key: Values, value: str) -> Values | None:
        """What fills the slots of the result template; None where this value is to be left out."""
        if not value:
            return None
        user, at, domain = value.rpartition("@")
        if (self._value_domain and not (at and domain)) or (self._value_user and at and not user):
            return None
        return {**key, "s": value, "u": user if at else value, "d": domain if at else ""}
