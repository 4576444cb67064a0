"""The conditions of a recipe: what a line behind an asterisk asks (procmailrc(5), procmailsc(5)).

    w^x !  $  ?program  <size  >size  VARIABLE ?? condition  \\expression  expression

Does not evaluate: `$` needs variables, which are the interpreter's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.procmail.matching import expression
from pillarbox.lib.procmail.pattern import PatternError
from pillarbox.lib.procmail.score import Weight
from pillarbox.lib.procmail.words import WordError, read_quoted, read_words

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_WEIGHT = re.compile(rf"({_NUMBER})[ \t]*\^[ \t]*({_NUMBER})[ \t]*")
_AREA = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*\?\?[ \t]*")
_SIZE = re.compile(r"[ \t]*([0-9]*)[ \t]*")
_NUMBER_LIMIT = 15
"""Digits of a size that are read."""


class ConditionError(ValueError):
    """A condition that cannot be read; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Question:
    """One condition, its prefixes read.  `kind`: `expand`, `program`, `smaller`, `larger` or `expression`.

    `area` is the variable, or `H`, `B`, `HB`, that is looked at; "" for what the recipe's flags say.  `text` is the
    expression, the command, the size, or (`expand`) what is a condition when its variables are replaced.
    """

    kind: str
    text: str
    negated: bool = False
    area: str = ""
    weight: Weight | None = None


def read_condition(text: str, before: Question = Question("expression", "")) -> Question:
    """Read a condition; `before` holds the prefixes that were read already.  Raises ConditionError."""
    negated, area, weight = before.negated, before.area, before.weight
    while True:
        text = text.lstrip(" \t")
        if match := _WEIGHT.match(text):
            weight = Weight(_number(match[1]), _number(match[2]))
            text = text[match.end() :]
        elif text.startswith("!"):
            negated = not negated
            text = text[1:]
        elif match := _AREA.match(text):
            area = match[1]
            text = text[match.end() :]
        else:
            break
    kind = {"$": "expand", "?": "program", "<": "smaller", ">": "larger"}.get(text[:1], "expression")
    if kind in ("smaller", "larger"):
        size = _SIZE.fullmatch(text[1:])
        if size is None or len(size[1]) > _NUMBER_LIMIT:
            raise ConditionError(f'a number of bytes after "{text[0]}"')
        text = size[1] or "0"
    elif kind in ("expand", "program"):
        # A dollar alone is the expression that matches the end of a line.
        if kind == "expand" and not text[1:].strip(" \t"):
            kind = "expression"
        else:
            text = text[1:].strip(" \t")
    elif text.startswith("\\"):
        text = text[1:]
    return Question(kind, text, negated, area, weight)


def _number(text: str) -> float:
    return max(-2147483647.0, min(2147483647.0, float(text)))


def check_condition(text: str) -> None:
    """Find what can be found wrong before the variables are known.  Raises ConditionError."""
    question = read_condition(text)
    try:
        if question.kind == "expand":
            read_quoted(question.text)
        elif question.kind == "program":
            if not question.text:
                raise ConditionError('a program after "?"')
            if not set(question.text) & set("&|<>~;?*[\n"):
                read_words(question.text)
        elif question.kind == "expression":
            expression(question.text, False)
    except (PatternError, WordError) as error:
        raise ConditionError(str(error)) from None
