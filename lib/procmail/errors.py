"""What goes wrong with a user's recipes: in their text, or while they are carried out."""

from __future__ import annotations


class RecipeError(ValueError):
    """A fault in an rcfile.  `expected` says what should have stood there."""

    def __init__(self, name: str, line: int, expected: str) -> None:
        super().__init__(f"{name}:{line}: {expected}")
        self.name = name
        self.line = line
        self.expected = expected


class LimitReached(RecipeError):
    """A ceiling that keeps recipes from running for ever or filling the memory."""
