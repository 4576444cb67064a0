"""Perl-compatible regular expressions (pcrepattern(3)) written as Python's: for `pcre:` tables.

Most of the two languages is the same.  What differs in spelling is rewritten: \\z \\Z \\h \\R \\Q..\\E \\x{...}, POSIX
classes in sets, named groups, option settings in mid-pattern.  What Python cannot do (recursion, callouts, verbs,
branch reset) raises ValueError, so that such a rule is reported and not misread.
"""

from __future__ import annotations

import re

from pillarbox.lib.tables.posix_regex import CLASSES

_ESCAPES = {
    "z": "\\Z",
    "Z": "(?=\\n?\\Z)",
    "h": "[ \\t\\u00a0]",
    "H": "[^ \\t\\u00a0]",
    "v": "[\\n\\v\\f\\r\\x85\\u2028\\u2029]",
    "V": "[^\\n\\v\\f\\r\\x85\\u2028\\u2029]",
    "R": "(?:\\r\\n|[\\n\\v\\f\\r\\x85\\u2028\\u2029])",
    "N": "[^\\n]",
    "e": "\\x1b",
    "G": "\\A",
}
_ESCAPES |= {
    # Letters and digits of ASCII only, as without PCRE's option UCP.
    "d": "[0-9]",
    "D": "[^0-9]",
    "s": "[ \\t\\n\\v\\f\\r]",
    "S": "[^ \\t\\n\\v\\f\\r]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
    "b": "(?a:\\b)",
    "B": "(?!(?a:\\b))",
    "K": "(?:)",  # where the match begins: a table asks only whether there is one
}
_SAME = set("Atnrfa")
_SET_ESCAPES = {
    "h": " \\t\\u00a0",
    "v": "\\n\\v\\f\\r",
    "e": "\\x1b",
    "b": "\\x08",
    "d": "0-9",
    "s": " \\t\\n\\v\\f\\r",
    "w": "0-9A-Za-z_",
}
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})([?+]?)")
_CODE_POINT = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{1,2})|o\{([0-7]{1,7})\}|(0[0-7]{0,2})")
_REFERENCE = re.compile(r"g\{?(-?\d+)\}?|k(?:<(\w+)>|'(\w+)'|\{(\w+)\})|([1-9]\d?)")
_OPTIONS = re.compile(r"\(\?([imsx]*)(?:-([imsx]+))?\)")
_NAMED = re.compile(r"\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_SAME_NAME = re.compile(r"\(\?P=\w+\)")
_COMMENT = re.compile(r"\(\?#[^)]*\)")
_PLAIN_OPENINGS = ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>")
_SCOPED = re.compile(r"\(\?[imsx]*(?:-[imsx]+)?:")
_CONDITION = re.compile(r"\(\?\((\d+|<\w+>|'\w+')\)")
_FOREIGN = re.compile(r"\(\?(?:R|[0-9+&C|]|P>)|\(\*")


def translate(pattern: str, *, ungreedy: bool = False) -> str:
    """The Python spelling.  `ungreedy`: quantifiers are, but for those with `?` behind them.

    Raises ValueError with what cannot be said.
    """
    return _Translation(pattern, ungreedy).text()


class _Translation:
    def __init__(self, pattern: str, ungreedy: bool) -> None:
        self._pattern = pattern
        self._ungreedy = ungreedy
        self._position = 0
        self._out: list[str] = []
        self._scopes: list[list[str]] = [[]]
        """For each open group the option settings in force since its beginning, each an open Python group."""
        self._groups = 0

    def text(self) -> str:
        pattern = self._pattern
        while self._position < len(pattern):
            character = pattern[self._position]
            if character == "\\":
                self._escape()
            elif character == "[":
                self._set()
            elif character == "(":
                self._open()
            elif character == ")":
                self._close()
            elif character == "|":
                # Options set in one branch hold in the next ones too: the scopes are closed and opened again.
                scopes = self._scopes[-1]
                self._out.append(")" * len(scopes) + "|" + "".join(scopes))
                self._position += 1
            elif character in "*+?{":
                self._quantifier()
            else:
                self._out.append(character)
                self._position += 1
        self._out.append(")" * len(self._scopes[0]))
        return "".join(self._out)

    def _take(self, match: re.Match[str], text: str) -> None:
        self._out.append(text)
        self._position = match.end()

    def _open(self) -> None:
        pattern, position = self._pattern, self._position
        if _FOREIGN.match(pattern, position):
            raise ValueError("recursion, verbs, callouts and branch reset are not supported")
        if match := _COMMENT.match(pattern, position):
            self._position = match.end()
            return
        if match := _OPTIONS.match(pattern, position):
            on, off = match[1], match[2]
            scope = f"(?{on}{'-' + off if off else ''}:"
            self._scopes[-1].append(scope)
            self._take(match, scope)
            return
        if match := _SAME_NAME.match(pattern, position):
            self._take(match, match[0])
            return
        self._scopes.append([])
        if match := _NAMED.match(pattern, position):
            self._groups += 1
            self._take(match, f"(?P<{match[1] or match[2]}>")
        elif match := _CONDITION.match(pattern, position):
            name = match[1].strip("<>'")
            self._take(match, f"(?({name})")
        elif match := _SCOPED.match(pattern, position):
            self._take(match, match[0])
        else:
            for opening in _PLAIN_OPENINGS:
                if pattern.startswith(opening, position):
                    self._out.append(opening)
                    self._position += len(opening)
                    return
            if pattern.startswith("(?", position):
                raise ValueError("unrecognized character after (?")
            self._groups += 1
            self._out.append("(")
            self._position += 1

    def _quantifier(self) -> None:
        match = _QUANTIFIER.match(self._pattern, self._position)
        if match is None:
            self._out.append("\\{")  # no quantifier: an ordinary character
            self._position += 1
        elif not self._ungreedy or match[1] == "+":
            self._take(match, match[0])
        else:
            self._take(match, match[0][:-1] if match[1] else match[0] + "?")

    def _close(self) -> None:
        if len(self._scopes) == 1:
            raise ValueError("unmatched closing parenthesis")
        self._out.append(")" * len(self._scopes.pop()) + ")")
        self._position += 1

    def _escape(self) -> None:
        pattern = self._pattern
        position = self._position + 1
        if position == len(pattern):
            raise ValueError("\\ at end of pattern")
        character = pattern[position]
        if character == "Q":
            end = pattern.find("\\E", position)
            end = len(pattern) if end < 0 else end
            self._out.append(re.escape(pattern[position + 1 : end]))
            self._position = min(len(pattern), end + 2)
        elif character == "E":
            self._position = position + 1
        elif match := _CODE_POINT.match(pattern, position):
            self._take(match, _code_point(match))
        elif match := _REFERENCE.match(pattern, position):
            self._take(match, self._reference(match))
        else:
            if character in _SAME:
                self._out.append("\\" + character)
            elif character in _ESCAPES:
                self._out.append(_ESCAPES[character])
            elif character.isalnum():
                raise ValueError(f"\\{character} is not supported")
            else:
                self._out.append(re.escape(character))
            self._position = position + 1

    def _reference(self, match: re.Match[str]) -> str:
        name = match[2] or match[3] or match[4]
        if name:
            return f"(?P={name})"
        number = int(match[1] or match[5])
        if number < 0:
            number += self._groups + 1
        if number < 1:
            raise ValueError("reference to non-existent subpattern")
        return f"(?:\\{number})"

    def _set(self) -> None:
        pattern = self._pattern
        position = self._position + 1
        out = ["["]
        if pattern.startswith("^", position):
            out.append("^")
            position += 1
        first = True
        while True:
            if position >= len(pattern):
                raise ValueError("missing terminating ] for character class")
            character = pattern[position]
            if character == "]" and not first:
                break
            first = False
            if character == "[" and pattern.startswith("[:", position) and (end := pattern.find(":]", position)) > 0:
                name = pattern[position + 2 : end]
                if name not in CLASSES:
                    raise ValueError(f"unknown POSIX class name [:{name}:]")
                out.append(CLASSES[name])
                position = end + 2
            elif character == "\\":
                text, position = _set_escape(pattern, position + 1)
                out.append(text)
            else:
                # Escaped: what Python may one day read as set operations, and a bracket.
                out.append("\\" + character if character in "[&~|" or (character == "]") else character)
                position += 1
        self._out.append("".join(out) + "]")
        self._position = position + 1


def _code_point(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16) if match[1] or match[2] else int(match[3] or match[4], 8)
    if code > 0x10FFFF:
        raise ValueError("character code point value too large")
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


def _set_escape(pattern: str, position: int) -> tuple[str, int]:
    if position >= len(pattern):
        raise ValueError("\\ at end of pattern")
    if match := _CODE_POINT.match(pattern, position):
        return _code_point(match), match.end()
    character = pattern[position]
    if character in _SET_ESCAPES:
        return _SET_ESCAPES[character], position + 1
    if character in "DSWtnrfa":
        return "\\" + character, position + 1
    if character.isalnum():
        raise ValueError(f"\\{character} is not supported in a character class")
    return "\\" + character, position + 1
