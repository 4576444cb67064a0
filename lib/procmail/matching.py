"""Whether, how often and where an expression matches in a text: what conditions and MATCH need.

Promises: time linear in the text; the text is read in pieces, except for MATCH, for which its first EXTRACT_LIMIT
octets are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pillarbox.lib.procmail.automaton import END, START, Automaton
from pillarbox.lib.procmail.pattern import NEWLINE, Pattern, Sequence, parse_pattern

EXTRACT_LIMIT: Final = 256 * 1024
"""Octets in which a text for MATCH is looked for: it is taken from a header, or the beginning of a body."""
KEPT: Final = 256
"""Expressions that are remembered with their automata, between messages too."""

Text = Callable[[], Iterable[bytes]]
"""Gives a text, in pieces, from its beginning each time."""


@dataclass(slots=True)
class Expression:
    """An expression with its automata, of which only those are made that are needed."""

    pattern: Pattern
    _searching: Automaton | None = field(default=None)

    def _whole(self) -> Sequence:
        pattern = self.pattern
        return Sequence((pattern.left,) if pattern.kept is None else (pattern.left, pattern.kept))

    def searching(self) -> Automaton:
        """Finds the ends of matches.  Raises PatternError."""
        if self._searching is None:
            self._searching = Automaton(self._whole(), floating=True)
        return self._searching

    def found_in(self, text: Text) -> bool:
        """Whether it matches somewhere."""
        return any(True for _ in self.searching().matches(text()))

    def extract(self, text: Text) -> bytes | None:
        """What `\\/` keeps: behind the leftmost and shortest left part as much as the right part can take.

        None where nothing matches.
        """
        kept = self.pattern.kept
        assert kept is not None
        content = _beginning(text)
        symbols = [NEWLINE, START, *content, END, NEWLINE]
        count = len(symbols)
        backward = symbols[::-1]
        starts = list(Automaton(self._whole(), floating=True, backward=True).accepted(backward))
        if not starts:
            return None
        start = count - starts[-1]
        right = {count - each for each in Automaton(kept, floating=True, backward=True).accepted(backward)}
        # What begins behind a mark begins before it as well.
        right |= {place - 1 for place in (2, count - 1) if place in right}
        left = Automaton(self.pattern.left, floating=False)
        for size in left.accepted(symbols[start:]):
            middle = start + size
            if middle in right:
                break
        else:
            return None
        size = max(Automaton(kept, floating=False).accepted(symbols[middle:]), default=0)
        return content[max(0, middle - 2) : max(0, middle + size - 2)]


@lru_cache(KEPT)
def expression(text: str, case: bool) -> Expression:
    """The expression that `text` spells.  Raises PatternError."""
    made = Expression(parse_pattern(text, case=case))
    made.searching()
    return made


def _beginning(text: Text) -> bytes:
    content = b""
    for piece in text():
        content += piece
        if len(content) >= EXTRACT_LIMIT:
            return content[:EXTRACT_LIMIT]
    return content
