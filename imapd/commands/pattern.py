"""The wildcards of LIST: `*` is anything, `%` anything within one level (RFC 9051 section 6.3.9)."""

from __future__ import annotations

import re

from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.lib.store.interface import DELIMITER, INBOX

WILDCARD_LIMIT = 32
"""Runs of wildcards in one pattern; the work for each name grows with them."""

_WILDCARDS = re.compile(r"[*%]+")


class Pattern:
    """A pattern over whole mailbox names.

    Matching takes time in proportion to name times wildcards, however they stand (a regular expression would not).
    """

    def __init__(self, text: str) -> None:
        """Raises BadSyntax where there are too many wildcards."""
        text = _WILDCARDS.sub(lambda run: "*" if "*" in run[0] else "%", text)
        if len(_WILDCARDS.findall(text)) > WILDCARD_LIMIT:
            raise BadSyntax("too many wildcards")
        parts = text.split(DELIMITER)
        if parts[0].upper() == INBOX:
            parts[0] = INBOX  # case-insensitive, as the name is
        self._text = DELIMITER.join(parts)

    def matches(self, name: str) -> bool:
        """Whether the whole name matches."""
        # The set of places in the pattern that can be reached with the name read so far.
        places = self._closure({0})
        for letter in name:
            reached = set()
            for place in places:
                if place < len(self._text):
                    sign = self._text[place]
                    if sign == "*" or (sign == "%" and letter != DELIMITER):
                        reached.add(place)
                    elif sign == letter:
                        reached.add(place + 1)
            places = self._closure(reached)
            if not places:
                return False
        return len(self._text) in places

    def _closure(self, places: set[int]) -> set[int]:
        """Wildcards may stand for nothing."""
        todo = list(places)
        while todo:
            place = todo.pop()
            if place < len(self._text) and self._text[place] in "*%" and place + 1 not in places:
                places.add(place + 1)
                todo.append(place + 1)
        return places
