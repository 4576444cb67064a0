"""What can be wrong with a script: before it runs (`SieveError`), and while it runs (`RuntimeFault`)."""

from __future__ import annotations


class SieveError(Exception):
    """A script that is no Sieve: which one, where (line and column count from 1), and what was expected there.

    `unknown`: only a word of an extension that is not there; behind `ihave` it matters when it is reached (RFC 5463).
    """

    def __init__(self, name: str, line: int, column: int, expected: str, *, unknown: bool = False) -> None:
        super().__init__(f"{name}:{line}:{column}: {expected}")
        self.name = name
        self.line = line
        self.column = column
        self.expected = expected
        self.unknown = unknown


class RuntimeFault(Exception):
    """The script cannot go on: the message goes where it would without a script (RFC 5228 section 2.10.6)."""
