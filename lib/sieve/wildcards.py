"""Wildcard expressions of `:matches` (RFC 5228 section 2.7.1): `*` any characters, as few as will do, `?` one.

The runs between stars have fixed lengths, so the first place where one fits is as good as any and nothing is tried
twice: a text costs at most its length times the expression's, whatever the two are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """What stands between two stars: pieces of text, with one `?` between each two; its length in characters."""

    pieces: tuple[str, ...]
    length: int

    def stands(self, text: str, at: int) -> bool:
        """Whether it stands at this place, where there is room for it."""
        for piece in self.pieces:
            if not text.startswith(piece, at):
                return False
            at += len(piece) + 1
        return True

    def find(self, text: str, start: int, end: int, spend: Callable[[int], None]) -> int:
        """The first place between start and end where it stands; -1 = none."""
        if len(self.pieces) == 1:
            return text.find(self.pieces[0], start, end)
        anchor = max(self.pieces, key=len)
        before = sum(len(piece) + 1 for piece in self.pieces[: self.pieces.index(anchor)])
        behind = self.length - before
        at = start + before
        while (at := text.find(anchor, at, max(0, end - behind + len(anchor)))) >= 0:
            spend(10 * len(self.pieces))
            if at - before + self.length <= end and self.stands(text, at - before):
                return at - before
            at += 1
        return -1

    def questions(self, at: int) -> list[Span]:
        """Where the characters lie that its `?` stand for, when it stands at this place."""
        spans = []
        for piece in self.pieces[:-1]:
            at += len(piece) + 1
            spans.append((at - 1, at))
        return spans


@dataclass(frozen=True, slots=True)
class Wildcards:
    """A whole expression, ready to be matched.

    `needles`: the longest text between two stars, without which nothing fits; `effort` is that of `match.Pattern`.
    """

    runs: tuple[Run, ...]
    needles: tuple[str, ...]
    effort: tuple[int, int]

    def find(self, text: str, spend: Callable[[int], None]) -> list[int] | None:
        """Where each run stands; None where the text does not fit."""
        first, last = self.runs[0], self.runs[-1]
        end = len(text) - last.length
        if len(self.runs) == 1:
            return [0] if end == 0 and first.stands(text, 0) else None
        position = first.length
        if end < position or not first.stands(text, 0) or not last.stands(text, end):
            return None
        found = [0]
        for run in self.runs[1:-1]:
            at = run.find(text, position, end, spend)
            if at < 0:
                return None
            found.append(at)
            position = at + run.length
        found.append(end)
        return found

    def spans(self, text: str, places: list[int], spend: Callable[[int], None]) -> list[Span]:
        """What each wildcard stands for in its order, behind the whole text, where the runs stand at these places."""
        spans = [(0, len(text)), *self.runs[0].questions(0)]
        position = self.runs[0].length
        for run, at in zip(self.runs[1:], places[1:], strict=True):
            spans.append((position, at))
            spans += run.questions(at)
            position = at + run.length
        return spans


def compile_wildcards(key: str) -> Wildcards:
    """The expression that a key is; a backslash takes the meaning from the character behind it."""
    runs: list[Run] = []
    pieces: list[str] = []
    piece: list[str] = []
    position = 0
    while position <= len(key):
        character = key[position : position + 1]
        position += 1
        if character == "\\" and position < len(key):
            piece.append(key[position])
            position += 1
        elif character in ("", "*", "?"):
            pieces.append("".join(piece))
            piece = []
            if character != "?":
                runs.append(Run(tuple(pieces), sum(map(len, pieces)) + len(pieces) - 1))
                pieces = []
        else:
            piece.append(character)
    needle = max((piece for run in runs[1:-1] for piece in run.pieces), key=len, default="")
    return Wildcards(tuple(runs), (needle,) if needle else (), (1, 100 * len(runs)))
