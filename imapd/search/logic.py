"""ALL, NOT, OR and the conjunction of keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.imapd.search.key import Candidate, Key, TextLook, View
from pillarbox.imapd.search.reading import Parser, Reading, constant


class All(Key):
    def matches(self, candidate: Candidate) -> bool:
        return True


@dataclass(frozen=True)
class And(Key):
    """Keys in a row, or in parentheses."""

    keys: tuple[Key, ...]

    @property
    def cost(self) -> int:  # type: ignore[override]
        return max(key.cost for key in self.keys)

    @property
    def asks_modseq(self) -> bool:  # type: ignore[override]
        return any(key.asks_modseq for key in self.keys)

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        return any(key.numbered for key in self.keys)

    def bind(self, view: View) -> Key:
        keys = sorted((key.bind(view) for key in self.keys), key=lambda key: key.cost)
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    @property
    def only(self) -> set[int] | None:  # type: ignore[override]
        sets = [set(key.only) for key in self.keys if key.only is not None]
        return set.intersection(*sets) if sets else None

    def texts(self) -> Iterator[TextLook]:
        for key in self.keys:
            yield from key.texts()

    def loosened(self) -> Key:
        return And(tuple(key.loosened() for key in self.keys))

    def matches(self, candidate: Candidate) -> bool:
        return all(key.matches(candidate) for key in self.keys)


@dataclass(frozen=True)
class Or(Key):
    first: Key
    second: Key

    @property
    def cost(self) -> int:  # type: ignore[override]
        return max(self.first.cost, self.second.cost)

    @property
    def asks_modseq(self) -> bool:  # type: ignore[override]
        return self.first.asks_modseq or self.second.asks_modseq

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        return self.first.numbered or self.second.numbered

    def bind(self, view: View) -> Key:
        first, second = sorted((self.first.bind(view), self.second.bind(view)), key=lambda key: key.cost)
        return Or(first, second)

    @property
    def only(self) -> set[int] | None:  # type: ignore[override]
        if self.first.only is None or self.second.only is None:
            return None
        return {*self.first.only, *self.second.only}

    def texts(self) -> Iterator[TextLook]:
        yield from self.first.texts()
        yield from self.second.texts()

    def loosened(self) -> Key:
        return Or(self.first.loosened(), self.second.loosened())

    def matches(self, candidate: Candidate) -> bool:
        return self.first.matches(candidate) or self.second.matches(candidate)


@dataclass(frozen=True)
class Not(Key):
    key: Key

    @property
    def cost(self) -> int:  # type: ignore[override]
        return self.key.cost

    @property
    def asks_modseq(self) -> bool:  # type: ignore[override]
        return self.key.asks_modseq

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        return self.key.numbered

    def bind(self, view: View) -> Key:
        return Not(self.key.bind(view))

    def texts(self) -> Iterator[TextLook]:
        return self.key.texts()

    def matches(self, candidate: Candidate) -> bool:
        return not self.key.matches(candidate)


def _group(reading: Reading) -> Key:
    reading.cursor.expect(b"(")
    keys = [reading.key()]
    while not reading.cursor.accept(b")"):
        reading.cursor.space()
        keys.append(reading.key())
    return And(tuple(keys))


def _not(reading: Reading) -> Key:
    reading.cursor.space()
    return Not(reading.key())


def _or(reading: Reading) -> Key:
    reading.cursor.space()
    first = reading.key()
    reading.cursor.space()
    return Or(first, reading.key())


KEYS: dict[bytes, Parser] = {b"(": _group, b"ALL": constant(All()), b"NOT": _not, b"OR": _or}
