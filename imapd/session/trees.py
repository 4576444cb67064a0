"""The part trees that a session keeps: a client asks for BODYSTRUCTURE, then for one part after the other."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from pillarbox.lib.mime import Part
from pillarbox.lib.mime.part import header_places

MOST: Final = 64
"""Trees that are kept."""
MOST_PARTS: Final = 4096
"""Parts of all of them together, unless one alone has more."""


class Trees:
    """Those of the messages that were asked for last, by UID."""

    __slots__ = ("_parts", "_trees")

    def __init__(self) -> None:
        self._trees: OrderedDict[int, tuple[Part, int]] = OrderedDict()
        self._parts = 0

    def get(self, uid: int) -> Part | None:
        """The tree, if it is there."""
        found = self._trees.get(uid)
        if found is None:
            return None
        self._trees.move_to_end(uid)
        return found[0]

    def add(self, uid: int, tree: Part) -> None:
        """Keep one that is not there yet."""
        parts = sum(1 for _ in header_places(tree))
        self._trees[uid] = tree, parts
        self._parts += parts
        while len(self._trees) > 1 and (self._parts > MOST_PARTS or len(self._trees) > MOST):
            self._parts -= self._trees.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all."""
        self._trees.clear()
        self._parts = 0
