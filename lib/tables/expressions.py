"""Rules whose patterns are regular expressions: `/pattern/flags result`, `!/pattern/flags result`.

The result may hold `$1`, `${1}` or `$(1)` for a part of the key, `$$` for a dollar sign.
"""

from __future__ import annotations

import abc
import re
import warnings
from collections.abc import Callable

from pillarbox.lib.tables.effort import Effort, effort
from pillarbox.lib.tables.literals import required
from pillarbox.lib.tables.rules import Apply, Grammar, RuleError

_REFERENCE = re.compile(r"\$(?:(\$)|(\d+)|\{(\d+)\}|\((\d+)\))")
_NUMBER_LIMIT = 999


class Expressions(Grammar[str], abc.ABC):
    """The grammar, less what the flags and the expression language mean."""

    @abc.abstractmethod
    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        """The pattern for re.  Raises RuleError, ValueError or re.error."""

    def key(self, key: str) -> str | None:
        return key

    def rule(self, text: str, warn: Callable[[str], None]) -> Apply[str]:
        negated, pattern, flags, result = self._split(text)
        compiled = self._compiled(pattern, flags)
        if not result:
            warn("no replacement text: using empty string")
        template = _template(result)
        numbers = [part for part in template if isinstance(part, int)]
        if numbers and not self.options.substitution:
            raise RuleError("regular expression substitution is not allowed")
        if numbers and negated:
            raise RuleError("$number found in negative match replacement text")
        for number in numbers:
            if number > compiled.groups:
                raise RuleError(f'out of range replacement index "{number}"')
        search = compiled.search
        if numbers:
            return _substituting(search, template)
        constant = "".join(str(part) for part in template)
        if negated:
            return lambda key: None if search(key) else constant
        return lambda key: constant if search(key) else None

    def literals(self, text: str) -> frozenset[str] | None:
        if not self.options.literals:
            return None
        negated, pattern, flags, _ = self._split(text)
        return None if negated else required(self._compiled(pattern, flags))

    def effort(self, text: str) -> Effort:
        _, pattern, flags, _ = self._split(text)
        return effort(self._compiled(pattern, flags))

    def condition(self, text: str, warn: Callable[[str], None]) -> Callable[[str], bool]:
        negated, pattern, flags, rest = self._split(text)
        search = self._compiled(pattern, flags).search
        if rest:
            warn(f'ignoring extra text after IF statement: "{rest}"')
        if negated:
            return lambda key: search(key) is None
        return lambda key: search(key) is not None

    def _split(self, text: str) -> tuple[bool, str, str, str]:
        """(negated, pattern, flags, result)."""
        negated = False
        while text.startswith("!"):
            negated = not negated
            text = text[1:].lstrip()
        delimiter = text[:1]
        if not delimiter:
            raise RuleError("no regexp")
        if delimiter.isalnum() or delimiter in "\\":
            raise RuleError("a pattern between slashes, /pattern/, was expected")
        position = 1
        while position < len(text) and text[position] != delimiter:
            position += 2 if text[position] == "\\" else 1
        if position >= len(text):
            raise RuleError(f'no closing regexp delimiter "{delimiter}"')
        pattern = text[1:position]
        if delimiter != "/":
            pattern = pattern.replace("\\" + delimiter, delimiter)
        rest = text[position + 1 :]
        length = next((i for i, character in enumerate(rest) if character.isspace()), len(rest))
        return negated, pattern, rest[:length], rest[length:].strip()

    def _compiled(self, pattern: str, flags: str) -> re.Pattern[str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.compile(pattern, flags)
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            raise RuleError(f"error in regular expression: {error}") from None


def _template(result: str) -> list[str | int]:
    """The result as texts and numbers of groups.  Raises RuleError."""
    parts: list[str | int] = []
    position = 0
    while (dollar := result.find("$", position)) >= 0:
        match = _REFERENCE.match(result, dollar)
        if match is None:
            raise RuleError("bad replacement syntax")
        parts.append(result[position:dollar])
        number = match[2] or match[3] or match[4]
        if match[1]:
            parts.append("$")
        elif len(number) > 3 or int(number) > _NUMBER_LIMIT:
            raise RuleError(f'out of range replacement index "{number}"')
        else:
            parts.append(int(number))
        position = match.end()
    parts.append(result[position:])
    return parts


def _substituting(search: Callable[[str], re.Match[str] | None], template: list[str | int]) -> Apply[str]:
    def apply(key: str) -> str | None:
        match = search(key)
        if match is None:
            return None
        return "".join(part if isinstance(part, str) else match[part] or "" for part in template)

    return apply
