"""What comes of an evaluation: permission or a refusal, and what else is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.facts import Key

PERMIT: Final = "permit"

Decision: TypeAlias = Literal["permit"] | Reply | None
"""What a restriction says: permit, a refusal, or nothing."""

Word: TypeAlias = Literal["reject_warning", "hold", "filter", "redirect", "discard", "bcc", "prepend", "warn", "info"]
"""The kinds of effect, as the log calls them."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to log, and to do to the transaction: `value` is the transport, the address, the header field.

    `text` is for the log, "" where nothing is logged.
    """

    word: Word
    text: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an evaluation: `refusal` None means permission.

    `deferral` is a temporary error on the way that turns a permission at a later stage into a refusal
    (defer_if_permit).  `sleep` is in seconds.  `warnings` are mistakes in tables, for the log.
    """

    refusal: Reply | None = None
    deferral: Reply | None = None
    effects: tuple[Effect, ...] = ()
    sleep: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """No end yet: these facts are wanted.  The value is how long each is to be kept (`facts.SCOPES`)."""

    keys: dict[Key, int]
