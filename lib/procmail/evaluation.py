"""Whether a recipe's conditions hold for a mail (procmailrc(5), procmailsc(5))."""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.procmail.carrier import CarrierError
from pillarbox.lib.procmail.conditions import ConditionError, Question, read_condition
from pillarbox.lib.procmail.errors import RecipeError
from pillarbox.lib.procmail.matching import expression
from pillarbox.lib.procmail.pattern import PatternError
from pillarbox.lib.procmail.score import INFINITY, for_exit_code, for_matches, for_size, shown
from pillarbox.lib.procmail.session import Session
from pillarbox.lib.procmail.syntax import Condition, Recipe
from pillarbox.lib.procmail.variables import Overflow
from pillarbox.lib.procmail.words import WordError, read_quoted

_AREAS = {"H": (True, False), "B": (False, True), "HB": (True, True), "BH": (True, True)}
_EXPANSIONS = 10
"""How often one condition may begin with `$` after its variables were replaced."""


class Evaluation:
    """One recipe's conditions."""

    def __init__(self, session: Session, recipe: Recipe) -> None:
        self._session = session
        self._recipe = recipe
        self._score = 0.0
        self._weighted = False

    def holds(self) -> bool:
        """Whether all conditions hold, and the score, where there is one, is positive.  Raises RecipeError."""
        session = self._session
        held = True
        for condition in self._recipe.conditions:
            try:
                question = self._question(condition)
                if not self._one(question, condition):
                    held = False
                    break
            except Overflow:
                session.variables.values["PROCMAIL_OVERFLOW"] = "yes"
                held = False
                break
        score = self._score
        session.variables.score = str(shown(score))
        return held and (not self._weighted or score > 0)

    def _question(self, condition: Condition) -> Question:
        """The condition with its variables replaced."""
        try:
            question = read_condition(condition.text)
            for _ in range(_EXPANSIONS):
                if question.kind != "expand":
                    return question
                text = self._session.value(read_quoted(question.text))
                question = read_condition(text, question)
        except (ConditionError, WordError) as error:
            raise self._error(condition, str(error)) from None
        raise self._error(condition, "a condition after so many $")

    def _error(self, condition: Condition, expected: str) -> RecipeError:
        return RecipeError(self._session.variables.file, condition.line, f"{expected} is expected")

    def _one(self, question: Question, condition: Condition) -> bool:
        """Whether the recipe may still match after this condition."""
        weight = question.weight
        if weight is not None:
            self._weighted = True
            if self._score >= INFINITY:
                return True
        if question.kind == "expression":
            return self._expression(question, condition)
        if question.kind == "program":
            return self._program(question)
        return self._size(question)

    def _add(self, value: float) -> bool:
        self._score = min(INFINITY, self._score + value)
        if self._score <= -INFINITY:
            self._score = -INFINITY
            return False
        return True

    # --- what is looked at

    def _where(self, question: Question) -> tuple[bool, bool]:
        flags = self._recipe.flags
        return _AREAS.get(question.area, (flags.header, flags.body))

    def _is_variable(self, question: Question) -> bool:
        return bool(question.area) and question.area not in _AREAS

    def _variable(self, question: Question) -> bytes:
        return self._session.variables.get(question.area).encode("latin-1")

    def _text(self, question: Question) -> Iterator[bytes]:
        if self._is_variable(question):
            yield self._variable(question)
        else:
            yield from self._session.mail.area(*self._where(question))

    # --- the kinds

    def _expression(self, question: Question, condition: Condition) -> bool:
        session = self._session
        try:
            wanted = expression(question.text, self._recipe.flags.case)
            if question.weight is not None:
                if question.negated:
                    found = wanted.found_in(lambda: self._text(question))
                    return self._add(0.0 if found else question.weight.weight)
                value = for_matches(question.weight, wanted.searching().matches(self._text(question)))
                if wanted.pattern.kept is not None and value:
                    self._keep(question)
                return self._add(value)
            found = wanted.found_in(lambda: self._text(question))
            if found and not question.negated and wanted.pattern.kept is not None:
                self._keep(question)
        except PatternError as error:
            raise self._error(condition, str(error)) from None
        session.remark(f'{"Match" if found else "No match"} on {"! " * question.negated}"{question.text}"')
        return found != question.negated

    def _keep(self, question: Question) -> None:
        kept = expression(question.text, self._recipe.flags.case).extract(lambda: self._text(question))
        if kept is not None:
            limit = self._session.variables.limit
            self._session.variables.set("MATCH", kept[:limit].decode("latin-1"))

    def _program(self, question: Question) -> bool:
        session = self._session
        feed = iter([self._variable(question)]) if self._is_variable(question) else None
        try:
            status = session.run(question.text, feed or session.mail.part(*self._where(question)), 0).status
        except CarrierError as error:
            session.complain(str(error))
            status = session.variables.status = 127
        if question.weight is not None:
            return self._add(for_exit_code(question.weight, session.variables.status, question.negated))
        return (status == 0) != question.negated

    def _size(self, question: Question) -> bool:
        limit = int(question.text)
        if self._is_variable(question):
            size = len(self._variable(question))
        elif question.area:
            size = self._session.mail.part_size(*self._where(question))
        else:
            size = self._session.mail.size
        larger = question.kind == "larger"
        if question.weight is not None:
            return self._add(for_size(question.weight, size, limit, larger != question.negated))
        return ((size > limit) if larger else (size < limit)) != question.negated
