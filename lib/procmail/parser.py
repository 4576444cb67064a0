"""Reading an rcfile: assignments, recipes, nested blocks, comments (procmailrc(5)).

procmail reads while it acts and skips what it does not understand; here the whole file is read first, so that a mistake
is found before anything is done: RecipeError names the file, the line and what was expected.

Promises: linear in the text; blocks nest NESTING_LIMIT deep, a file has SIZE_LIMIT octets at most.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from pillarbox.lib.procmail.conditions import ConditionError, check_condition
from pillarbox.lib.procmail.errors import RecipeError
from pillarbox.lib.procmail.syntax import (
    Action,
    Assignment,
    Block,
    Condition,
    Flags,
    Forward,
    Mailbox,
    Pipe,
    RcFile,
    Recipe,
    Statement,
    Word,
)
from pillarbox.lib.procmail.words import WordError, WordReader

SIZE_LIMIT: Final = 1 << 20
"""No person writes a megabyte of recipes."""
NESTING_LIMIT: Final = 64
"""Blocks within blocks: each costs a few calls."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAPTURE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*\|")
_LETTERS: Final = frozenset("HBDAaEehbfcwWir")
_BLANKS: Final = " \t"


def parse_rcfile(text: str, name: str) -> RcFile:
    """Read a file's text, its octets as the characters 0 to 255.  Raises RecipeError."""
    if len(text) > SIZE_LIMIT:
        raise RecipeError(name, 1, f"at most {SIZE_LIMIT} bytes of recipes are expected")
    return RcFile(name, _Parser(text, name).statements(0))


class _Parser(WordReader):
    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self._name = name
        self._counted = 0
        self._line = 1

    # --- places

    def _line_at(self, position: int) -> int:
        """The number of the line; asked in ascending order."""
        if position < self._counted:
            return self.text.count("\n", 0, position) + 1
        self._line += self.text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def _fail(self, expected: str, position: int | None = None) -> NoReturn:
        line = self._line_at(min(self.position if position is None else position, len(self.text)))
        raise RecipeError(self._name, line, f"{expected} is expected")

    def _rest_of_line(self) -> str:
        """Up to the end of the line, which may be continued by a backslash; the position moves behind it."""
        start = self.position
        while True:
            end = self.text.find("\n", self.position)
            if end < 0:
                end = len(self.text)
            self.position = min(end + 1, len(self.text))
            if end == len(self.text) or not _continued(self.text, start, end):
                return self.text[start:end]

    def _skip_space(self) -> None:
        """To the next statement: over blanks, empty lines and comments."""
        while True:
            self.skip_blanks(" \t\n\r")
            if not self.text.startswith("#", self.position):
                return
            end = self.text.find("\n", self.position)
            self.position = len(self.text) if end < 0 else end + 1

    # --- statements

    def statements(self, depth: int) -> tuple[Statement, ...]:
        """Those of a file, or (with a `depth`) those of a block, whose closing brace is read as well."""
        found: list[Statement] = []
        opened = self.position
        while True:
            self._skip_space()
            text, position = self.text, self.position
            if position >= len(text):
                if depth:
                    self._fail('a "}" for this "{"', opened)
                return tuple(found)
            character = text[position]
            if character == "}":
                if not depth:
                    self._fail('a "{" before this "}"')
                self.position += 1
                return tuple(found)
            if character == ":":
                found.append(self._recipe(depth))
            elif match := _NAME.match(text, position):
                self.position = match.end()
                found.append(self._assignment(match[0], self._line_at(position)))
            else:
                self._fail('":0", a comment or an assignment')

    def _assignment(self, name: str, line: int) -> Assignment:
        before = self.position
        self.skip_blanks()
        if not self.text.startswith("=", self.position):
            following = self.text[before : before + 1]
            if following not in ("", " ", "\t", "\n", "\r", "}"):
                self._fail(f'"=" after the name "{name}"')
            return Assignment(line, name, None)
        self.position += 1
        self.skip_blanks()
        if self.text.startswith("#", self.position):
            return Assignment(line, name, ())
        if self.text.startswith("|", self.position):
            self._fail('":0" before a command whose output is caught')
        return Assignment(line, name, self._word())

    def _word(self) -> Word:
        start = self.position
        try:
            return self.word(" \t\n")
        except WordError as error:
            self._fail(str(error), start)

    def _recipe(self, depth: int) -> Recipe:
        start = self.position
        line = self._line_at(start)
        self.position += 1
        digits = re.compile("[0-9]*").match(self.text, self.position)
        assert digits is not None
        self.position = digits.end()
        counted = int(digits[0][:6]) if digits[0] else 1
        letters = self._letters()
        flags = self._flags(letters)
        lock: Word | None = None
        if self.text.startswith(":", self.position):
            self.position += 1
            self.skip_blanks()
            lock = () if self.text.startswith("#", self.position) else self._word()
        self._end_of_recipe_line()
        conditions = self._conditions(counted)
        self._skip_space()
        if self.position >= len(self.text):
            self._fail("an action line for this recipe", start)
        return Recipe(line, flags, lock, conditions, self._action(depth))

    def _letters(self) -> str:
        letters = []
        while self.position < len(self.text):
            character = self.text[self.position]
            if character in ":#\n\r":
                break
            if character not in _BLANKS:
                if character not in _LETTERS:
                    self._fail(f'one of the flags HBDAaEehbfcwWir (not "{character}")')
                letters.append(character)
            self.position += 1
        return "".join(letters)

    def _end_of_recipe_line(self) -> None:
        self.skip_blanks(" \t\r")
        if self.text.startswith("#", self.position):
            self._rest_of_line()
        elif self.position < len(self.text):
            if self.text[self.position] != "\n":
                self._fail("the end of the line after the name of the lock file")
            self.position += 1

    def _flags(self, letters: str) -> Flags:
        feeds = "h" in letters or "b" in letters
        chained = [letter for letter in letters if letter in "AaEe"]
        if len(set(chained)) > 1 and set(chained) != {"A", "a"}:
            self._fail("only one of the flags A, a, E and e")
        return Flags(
            header="H" in letters or "B" not in letters,
            body="B" in letters,
            case="D" in letters,
            chained="a" if "a" in chained else chained[0] if chained else "",
            feed_header="h" in letters or not feeds,
            feed_body="b" in letters or not feeds,
            filtering="f" in letters,
            copy="c" in letters,
            wait="w" in letters or "W" in letters,
            quiet="W" in letters,
            ignore_errors="i" in letters,
            raw="r" in letters,
        )

    def _conditions(self, counted: int) -> tuple[Condition, ...]:
        """Lines with an asterisk; after `:n` as many lines without one."""
        found = []
        while self.position < len(self.text):
            self._skip_space()
            position = self.position
            if self.text.startswith("*", position):
                self.position += 1
            elif counted <= 0:
                break
            line = self._line_at(position)
            counted -= 1
            text = _joined(self._rest_of_line()).strip(" \t\r")
            try:
                check_condition(text)
            except ConditionError as error:
                raise RecipeError(self._name, line, f"{error} is expected") from None
            found.append(Condition(line, text))
        return tuple(found)

    # --- actions

    def _action(self, depth: int) -> Action:
        text, position = self.text, self.position
        character = text[position]
        if character == "{" and text[position + 1 : position + 2] in ("", " ", "\t", "\n", "\r"):
            if depth >= NESTING_LIMIT:
                self._fail(f"at most {NESTING_LIMIT} blocks within each other")
            self.position += 1
            return Block(self.statements(depth + 1))
        if character == "!":
            self.position += 1
            return Forward(self._action_words())
        if character == "|":
            self.position += 1
            return Pipe(self._command())
        if match := _CAPTURE.match(text, position):
            self.position = match.end()
            return Pipe(self._command(), match[1])
        if character in ":}*":
            self._fail("an action line for this recipe")
        words = self._action_words()
        return Mailbox(words)

    def _command(self) -> str:
        return self._rest_of_line().rstrip("\r")

    def _action_words(self) -> tuple[Word, ...]:
        """Words to the end of the line; inside quotes a line may end."""
        start = self.position
        words: list[Word] = []
        while True:
            self.skip_blanks(" \t\r")
            rest = self.text[self.position : self.position + 1]
            if rest in ("", "\n", "#"):
                break
            words.append(self._word())
        if self.text.startswith("#", self.position):
            self._rest_of_line()
        if not words:
            self._fail("an address or a mailbox", start)
        return tuple(words)


def _continued(text: str, start: int, end: int) -> bool:
    """Whether the line that ends at `end` goes on: an odd number of backslashes is before it."""
    count = 0
    while end - count > start and text[end - count - 1] == "\\":
        count += 1
    return count % 2 == 1


_CONTINUATION = re.compile(r"\\\n[ \t]*")


def _joined(text: str) -> str:
    """A condition's lines as one; the blanks that begin a further line are left out."""
    return _CONTINUATION.sub("", text)
