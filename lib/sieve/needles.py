"""Texts without which a regular expression cannot match: most texts need not be gone through by its automaton.

Promises: whatever the expression matches has one of `needles(tree)` in it, folded as the expression folds; () says
nothing.
"""

from __future__ import annotations

from typing import Final

from pillarbox.lib.sieve.regex_syntax import Characters, Choice, Group, Repeat, Sequence, Tree

SHORTEST: Final = 2
"""A shorter text is found nearly everywhere."""

MOST: Final = 8
"""Alternatives beyond which looking for all of them saves little."""


def needles(tree: Tree) -> tuple[str, ...]:
    """The texts, of which one must be there."""
    found = _of(tree)
    return found if _rarity(found) >= SHORTEST else ()


def _of(tree: Tree) -> tuple[str, ...]:
    if isinstance(tree, Sequence):
        return _of_sequence(tree)
    if isinstance(tree, Choice):
        alternatives = [_of(item) for item in tree.items]
        found = tuple(dict.fromkeys(text for each in alternatives for text in each))
        return found if all(alternatives) and len(found) <= MOST else ()
    if isinstance(tree, Group):
        return _of(tree.item)
    if isinstance(tree, Repeat):
        return _of(tree.item) if tree.least else ()
    if isinstance(tree, Characters) and tree.literal:
        return (tree.literal,)
    return ()


def _of_sequence(tree: Sequence) -> tuple[str, ...]:
    """The rarest of what its items need, where characters side by side are one text."""
    best: tuple[str, ...] = ()
    run = ""
    for item in tree.items:
        literal = item.literal if isinstance(item, Characters) else ""
        run += literal
        best = max(best, (run,) if literal else _of(item), key=_rarity)
        if not literal:
            run = ""
    return best


def _rarity(texts: tuple[str, ...]) -> int:
    return min(map(len, texts), default=0)
