"""Reading words as sh(1) quotes them: values of variables, names of mailboxes, arguments of commands.

Promises: linear in the text; WordError says what was expected.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.lib.procmail.syntax import Literal, Output, Part, Variable, Word

BLANKS: Final = " \t\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = re.compile(r"[$?_=#@-]|[0-9]+")
_OPERATOR = re.compile(r":?[-+]")
_PLAIN = re.compile(r"[^$`\\\"' \t\n]+")
_PLAIN_QUOTED = re.compile(r"[^$`\\\"]+")
_DEPTH_LIMIT: Final = 20
"""`${a-${b-...}}` within each other."""


class WordError(ValueError):
    """A word that cannot be read; the text says what was expected."""


class WordReader:
    """Reads words from `text`, beginning at `position`, which moves."""

    def __init__(self, text: str, position: int = 0) -> None:
        self.text = text
        self.position = position
        self._depth = 0

    def skip_blanks(self, blanks: str = " \t") -> None:
        """Go to the next character that is none of `blanks`; an escaped line end is one."""
        text = self.text
        while self.position < len(text):
            if text[self.position] in blanks:
                self.position += 1
            elif text.startswith("\\\n", self.position):
                self.position += 2
            else:
                return

    def word(self, ends: str = BLANKS) -> Word:
        """The word up to one of `ends` outside of quotes.  Raises WordError."""
        parts: list[Part] = []
        text = self.text
        while self.position < len(text):
            character = text[self.position]
            if character in ends:
                break
            if character in BLANKS:  # inside ${name-other words}
                parts.append(Literal(character))
                self.position += 1
            elif character == "'":
                closing = text.find("'", self.position + 1)
                if closing < 0:
                    raise WordError("a closing '")
                parts.append(Literal(text[self.position + 1 : closing]))
                self.position = closing + 1
            elif character == '"':
                self.position += 1
                parts += self.quoted('"')
                self.position += 1
            elif character == "\\":
                if not text.startswith("\n", self.position + 1):
                    parts.append(Literal(text[self.position + 1 : self.position + 2]))
                self.position += 2
            elif character == "`":
                parts.append(self._output(quoted=False))
            elif character == "$":
                parts.append(self._variable(quoted=False))
            else:
                match = _PLAIN.match(text, self.position)
                assert match is not None
                plain = match[0]
                for stop in ends:
                    if stop not in BLANKS:
                        plain = plain.partition(stop)[0]
                parts.append(Literal(plain))
                self.position += len(plain)
        return tuple(parts)

    def quoted(self, end: str) -> list[Part]:
        """What stands between double quotes, up to the closing one; with `end` "" the whole text, which has none.

        Raises WordError.
        """
        parts: list[Part] = [Literal("")]
        text = self.text
        while self.position < len(text):
            character = text[self.position]
            if character == '"':
                if end:
                    return parts
                self.position += 1
            elif character == "\\":
                following = text[self.position + 1 : self.position + 2]
                if following == "\n":
                    pass
                elif following and following in '$`"\\':
                    parts.append(Literal(following))
                else:
                    parts.append(Literal(character + following))
                self.position += 2
            elif character == "`":
                parts.append(self._output(quoted=True))
            elif character == "$":
                parts.append(self._variable(quoted=True))
            else:
                match = _PLAIN_QUOTED.match(text, self.position)
                assert match is not None
                parts.append(Literal(match[0]))
                self.position = match.end()
        if end:
            raise WordError('a closing "')
        return parts

    def _output(self, *, quoted: bool) -> Output:
        """A command in backquotes."""
        command: list[str] = []
        text = self.text
        at = self.position + 1
        while at < len(text):
            character = text[at]
            if character == "`":
                self.position = at + 1
                return Output("".join(command), quoted)
            if character == "\\" and text[at + 1 : at + 2] in ("`", "\\", "$") and text[at + 1 : at + 2]:
                at += 1
                character = text[at] if text[at] == "`" else "\\" + text[at]
            command.append(character)
            at += 1
        raise WordError("a closing `")

    def _variable(self, *, quoted: bool) -> Part:
        text = self.text
        self.position += 1
        if text.startswith("{", self.position):
            return self._braced(quoted)
        if text.startswith("\\", self.position) and (match := _NAME.match(text, self.position + 1)):
            self.position = match.end()
            return Variable(match[0], True, disarmed=True)
        match = _NAME.match(text, self.position) if not text.startswith("_", self.position) else None
        if match is None and text.startswith("_", self.position):
            named = _NAME.match(text, self.position)
            match = named if named and len(named[0]) > 1 else None
        match = match or _SPECIAL.match(text, self.position)
        if match is None:
            return Literal("$")
        self.position = match.end()
        return Variable(match[0], quoted)

    def _braced(self, quoted: bool) -> Variable:
        text = self.text
        at = self.position + 1
        match = _NAME.match(text, at) or re.compile(r"[0-9]+").match(text, at)
        if match is None:
            raise WordError("a variable's name after ${")
        self.position = match.end()
        operator = _OPERATOR.match(text, self.position)
        other: Word = ()
        if operator is not None:
            self.position = operator.end()
            self._depth += 1
            if self._depth > _DEPTH_LIMIT:
                raise WordError(f"at most {_DEPTH_LIMIT} ${{ within each other")
            other = self.word("}")
            self._depth -= 1
        if not text.startswith("}", self.position):
            raise WordError("} or one of - :- + :+ after the name in ${")
        self.position += 1
        return Variable(match[0], quoted, operator[0] if operator else "", other)


def read_words(text: str, *, comments: bool = False) -> tuple[Word, ...]:
    """All words of a line.  With `comments` a word that begins with # ends it.  Raises WordError."""
    reader = WordReader(text)
    words: list[Word] = []
    while True:
        reader.skip_blanks(BLANKS)
        if reader.position >= len(text) or (comments and text[reader.position] == "#"):
            return tuple(words)
        words.append(reader.word())


def read_quoted(text: str) -> Word:
    """A whole text as if it stood in double quotes.  Raises WordError."""
    return tuple(WordReader(text).quoted(""))
