"""The tokens of a script (RFC 5228 section 8.1).

Promises: any text gives tokens or a SieveError with its place; work is linear.  Lenient where scripts are: lines may
end in LF alone.  Line ends inside strings become CRLF, as they are in mail.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.limits import NUMBER, SCRIPT_SIZE
from pillarbox.lib.sieve.syntax import Place

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \t\r\n]+|\#[^\n]*|/\*.*?\*/)+)
      | (?P<multiline>text:[ \t]*(?:\#[^\r\n]*)?\r?\n)
      | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<tag>:[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[0-9]+[KMGkmg]?)
      | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<special>[{}()\[\],;])""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_MULTILINE_END = re.compile(r"^\.\r?(?:\n|\Z)", re.MULTILINE)
_STUFFED = re.compile(r"^\.\.", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LINE_END = re.compile(r"\r?\n")
_WORD_BEHIND_NUMBER = re.compile(r"[A-Za-z0-9_]")
_QUANTIFIERS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Token:
    """A token; kinds: `identifier`, `tag`, `number`, `string`, `end` and each special character.

    `text` is the name in lower case (a tag's without colon), or the string; `value` the number.
    """

    kind: str
    text: str
    place: Place
    value: int = 0

    def describe(self) -> str:
        """For the sentence that says what stands there."""
        if self.kind == "end":
            return "the end of the script"
        if self.kind == "string":
            return "a string"
        if self.kind == "number":
            return "a number"
        return f"':{self.text}'" if self.kind == "tag" else f"'{self.text}'"


def tokens(text: str, name: str) -> list[Token]:
    """The tokens, with one of the kind `end` behind them.  Raises SieveError."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(offset: int) -> Place:
        line = bisect_right(starts, offset)
        return Place(line, offset - starts[line - 1] + 1)

    def fault(offset: int, expected: str) -> SieveError:
        return SieveError(name, *place(offset), expected)

    if len(text) > SCRIPT_SIZE:
        raise fault(SCRIPT_SIZE, f"expected a script of at most {SCRIPT_SIZE} characters")
    if (nul := text.find("\0")) >= 0:
        raise fault(nul, "expected text, not a NUL character")
    found: list[Token] = []
    position = 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise fault(position, _unreadable(text, position))
        kind, word, start = match.lastgroup or "", match.group(), position
        position = match.end()
        if kind == "blank":
            continue
        if kind == "special":
            found.append(Token(word, word, place(start)))
        elif kind == "identifier":
            found.append(Token(kind, word.lower(), place(start)))
        elif kind == "tag":
            found.append(Token(kind, word[1:].lower(), place(start)))
        elif kind == "number":
            if _WORD_BEHIND_NUMBER.match(text, position):
                raise fault(position, "expected the end of the number, or one of K, M, G")
            found.append(Token(kind, word, place(start), _number(word, start, fault)))
        elif kind == "string":
            value = _ESCAPED.sub(r"\1", word[1:-1]) if "\\" in word else word[1:-1]
            found.append(Token(kind, _LINE_END.sub("\r\n", value), place(start)))
        else:
            end = _MULTILINE_END.search(text, position)
            if end is None:
                raise fault(len(text), "expected a line with a single '.' that ends 'text:'")
            value = _STUFFED.sub(".", text[position : end.start()])
            found.append(Token("string", _LINE_END.sub("\r\n", value), place(start)))
            position = end.end()
    found.append(Token("end", "", place(len(text))))
    return found


def _number(word: str, start: int, fault: object) -> int:
    factor = _QUANTIFIERS.get(word[-1].upper(), 1)
    digits = word[:-1] if factor > 1 else word
    value = int(digits) * factor if len(digits) <= 20 else NUMBER + 1
    if value > NUMBER:
        assert callable(fault)
        error = fault(start, f"expected a number of at most {NUMBER}")
        assert isinstance(error, SieveError)
        raise error
    return value


def _unreadable(text: str, position: int) -> str:
    if text[position] == '"':
        return "expected a closing '\"' for this string"
    if text.startswith("/*", position):
        return "expected '*/' that ends this comment"
    return f"expected a command, not {text[position]!r}"
