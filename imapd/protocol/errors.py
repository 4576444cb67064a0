"""What ends a command early: the tagged NO and BAD (RFC 9051 section 7.1)."""

from __future__ import annotations


class CommandFailed(Exception):
    """A tagged NO: the command was understood and could not be done."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class BadSyntax(Exception):
    """A tagged BAD: the command breaks the grammar or comes in the wrong state."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code
