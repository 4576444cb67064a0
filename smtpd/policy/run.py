"""One evaluation: what restrictions see of it, and how they refuse, defer and ask.

A restriction is a function of a run and an argument; it returns `PERMIT`, a refusal that `refuse` has made, or None.
Facts that are missing are noted, and the evaluation goes on as if the restriction had nothing to say, to find what else
will be wanted; its outcome is worth nothing then, and nothing of it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar, cast

from pillarbox.lib.config.restrictions import Rule
from pillarbox.lib.smtp import refusals
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.facts import ALONE, Facts, Key
from pillarbox.smtpd.policy.outcome import Decision, Effect, Word
from pillarbox.smtpd.policy.settings import Settings

V = TypeVar("V")

At: TypeAlias = Callable[[Key], object]
"""Gives the value of a fact that is at hand; raises KeyError."""

Evaluate: TypeAlias = "Callable[[Run, tuple[Rule, ...]], Decision]"


class NotKnown(Exception):
    """A fact is missing; it has been noted."""


class NoFurther(Exception):
    """What would come now depends on what is missing too much to be looked at."""


class Broken(Exception):
    """A refusal that `warn_if_reject` does not soften: something of ours does not work."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Run:
    """One evaluation of the lists of one stage."""

    __slots__ = (
        "access_table",
        "at_hand",
        "deferral",
        "depth",
        "discarding",
        "effects",
        "evaluate",
        "facts",
        "missing",
        "name",
        "recipient_checked",
        "reject_deferral",
        "sender_checked",
        "settings",
        "sleep",
        "stage",
        "warn_only",
        "warnings",
        "what",
    )

    def __init__(self, settings: Settings, stage: str, facts: Facts, at_hand: At, evaluate: Evaluate) -> None:
        self.settings = settings
        self.stage = stage
        self.facts = facts
        self.at_hand = at_hand
        self.evaluate = evaluate
        self.missing: dict[Key, int] = {}
        self.effects: list[Effect] = []
        self.warnings: list[str] = []
        self.sleep = 0
        self.deferral: Reply | None = None
        self.reject_deferral: Reply | None = None
        self.discarding = facts.discarding
        self.warn_only = False
        """Whether a `warn_if_reject` is in force."""
        self.depth = 0
        self.sender_checked = False
        self.recipient_checked = False
        self.name = ""
        """What the list that is gone through is about, as replies name it, and the words for that."""
        self.what = ""
        self.access_table = ""

    # --- facts
    def fact(self, scope: int, *key: object) -> object:
        """The value of a fact, kept for `scope`.  Raises NotKnown."""
        try:
            return self.at_hand(key)
        except KeyError:
            pass
        if self.missing and key[0] in ALONE:
            raise NoFurther
        self.missing.setdefault(key, scope)
        if key[0] in ALONE:
            raise NoFurther
        raise NotKnown

    def known(self, kind: type[V], scope: int, *key: object) -> V:
        """The same, with its type for the type checker."""
        return cast(V, self.fact(scope, *key))

    # --- words
    def refuse(self, reply: Reply) -> Reply | None:
        """Refuse, or with `warn_if_reject` only say so; an earlier defer_if_reject makes a 5xx that deferral."""
        if self.warn_only:
            self.effect("reject_warning", str(reply))
            return None
        if reply.code >= 500 and self.reject_deferral is not None:
            return self.reject_deferral
        return reply

    def rejected(self, code: int, enhanced: str, why: str, name: str | None = None, what: str = "") -> Reply | None:
        """Refuse with `<NAME>: WHAT rejected: WHY`, by default for what the list is about."""
        subject = self.name if name is None else name
        return self.refuse(refusals.rejected(code, enhanced, subject, what or self.what, why))

    def defer_if_permit(self, reply: Reply) -> Reply | None:
        """A permission that comes later is to be this deferral; the first reason counts."""
        if self.warn_only:
            return self.refuse(reply)
        if self.deferral is None:
            self.deferral = reply
        return None

    def defer_if_reject(self, reply: Reply) -> None:
        """A permanent refusal that comes later in these lists is to be this deferral; the first reason counts."""
        if self.reject_deferral is None:
            self.reject_deferral = reply

    def unknown_now(self, reply: Reply, action: str) -> Reply | None:
        """A temporary failure hides an answer: `action` is `defer` or `defer_if_permit`."""
        return self.refuse(reply) if action == "defer" else self.defer_if_permit(reply)

    def effect(self, word: Word, text: str, value: str = "") -> None:
        """Have something done when the evaluation is complete."""
        self.effects.append(Effect(word, text, value))

    def warn(self, text: str) -> None:
        """A mistake of the administrator, for the log."""
        self.warnings.append(text)
