"""What quota holds for a mailbox: limits, rules of folders, and the text in which lookup tells them.

A quota that says nothing (`limits` is None) leaves it to the first line of the `maildirsize` file, which another
program, or a delivery, has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.quota import MAILBOX_QUOTA, MAILBOX_QUOTA_MAPS, QUOTA_FULL_TEMPFAIL, QUOTA_RULES
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.config.quota import NO_LIMITS, FolderRule, Limits, parse_limits

MAILBOX_ROOT: Final = "User quota"
DOMAIN_ROOT: Final = "Domain quota"
"""The names of the quota roots (RFC 9208), as Dovecot has them."""


class Usage(NamedTuple):
    """What is there: octets as stored, and messages."""

    size: int = 0
    messages: int = 0

    def exceeds(self, limits: Limits) -> bool:
        """Whether it is more than `limits` allow."""
        return bool((limits.size and self.size > limits.size) or (limits.messages and self.messages > limits.messages))

    def plus(self, size: int, messages: int) -> Usage:
        """With so much more."""
        return Usage(self.size + size, self.messages + messages)

    def percent(self, limits: Limits) -> int:
        """How much of `limits` is used, of the kind that is used more; rounded down."""
        return max(
            self.size * 100 // limits.size if limits.size else 0,
            self.messages * 100 // limits.messages if limits.messages else 0,
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """What holds for one account's mailboxes."""

    limits: Limits | None = None
    domain: Limits | None = None
    """Of all mailboxes of its domain: None where it is not known, `NO_LIMITS` where there is none."""
    hosted: bool = False
    """Whether there are such mailboxes, and they may have a count of their own."""
    base: str = ""
    """The directory in which domains have one each, "" where that is not known; no slash at its end."""
    rules: tuple[FolderRule, ...] = ()
    tempfail: bool = False
    """A delivery that finds no room is tried again later."""

    def rule(self, folder: str) -> FolderRule | None:
        """The first rule for a mailbox of this name."""
        for rule in self.rules:
            if rule.matches(folder):
                return rule
        return None


FROM_FILE = Quota()
"""Of system users, and wherever nothing is known."""


def used_up(what: str) -> str:
    """Why there is no room; `what` has the quota."""
    return f"the quota of the {what} is used up"


def grant_text(mailbox: Limits, domain: Limits) -> str:
    """What lookup tells of an address: `MAILBOX/DOMAIN`; "" for no quota at all."""
    return f"{mailbox}/{domain}" if mailbox or domain else ""


class QuotaPolicy:
    """The quotas of one configuration."""

    def __init__(self, config: Config, *, apart: bool = False) -> None:
        """`apart`: the mailboxes of a domain may belong to several users, none of whom can count for the domain."""
        self._shared = not apart
        self._rules = config[QUOTA_RULES] or ()
        self._tempfail = config[QUOTA_FULL_TEMPFAIL]
        self._default = config[MAILBOX_QUOTA]
        base = config[VIRTUAL_MAILBOX_BASE].rstrip("/") if self._shared else ""
        self._none = Quota(None, NO_LIMITS, True, base) if self._shared else FROM_FILE
        self._base = base
        self._mapped = bool(config[MAILBOX_QUOTA_MAPS])

    def granted(self, text: str) -> Quota:
        """The quota that `grant_text` says.  Raises ValueError."""
        if not text:
            return self._none
        mailbox, _, domain = text.partition("/")
        whole = parse_limits(domain) if self._shared else None
        return Quota(parse_limits(mailbox), whole, self._shared, self._base, self._rules, self._tempfail)

    def session(self, own: str, hosted: bool) -> Quota:
        """That of a mail session, which knows no tables: `own` is the account's own quota, "" where it has none."""
        if not hosted:
            return FROM_FILE
        limits = parse_limits(own) if own else None if self._mapped else self._default or None
        return Quota(limits, None, self._shared, self._base, self._rules, self._tempfail)
