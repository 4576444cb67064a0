"""What stands at the right in an access table, or behind a policy server's `action=` (access(5)): a function per word.

What is none of these words is a list of restrictions, classes among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pillarbox.lib.address import AddressSyntaxError, parse_path
from pillarbox.lib.config.restrictions import parse_rules
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.run import Broken, Run

_REPLY: Final = re.compile(r"([45][0-9]{2})(?:[ \t]+(.*))?", re.DOTALL)
_FIELD: Final = re.compile(r"[!-9;-~]+[ \t]*:.*")  # RFC 5322 section 2.2
_TRANSPORT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}:\S*")

NO_MESSAGE: Final = frozenset(("ETRN", "VRFY"))
"""The stages that no message follows, so that nothing can be done to it."""


TOO_LATE: Final = frozenset(("PREPEND",))
"""What cannot be done any more when the content has come."""


class About:
    """What an action is about: the name and words for replies, and where it stands, for warnings."""

    __slots__ = ("name", "what", "where")

    def __init__(self, name: str, what: str, where: str) -> None:
        self.name, self.what, self.where = name, what, where

    @property
    def subject(self) -> str:
        """As logs have it."""
        return f"<{self.name}>: {self.what}"


Action: TypeAlias = Callable[[Run, About, str], Decision]


def _refuse(run: Run, about: About, code: int, text: str) -> Decision:
    status, why = refusals.split_status(text, "5.7.1")
    return run.rejected(code, status, why or refusals.ACCESS_DENIED, about.name, about.what)


def _reject(run: Run, about: About, text: str) -> Decision:
    return _refuse(run, about, run.settings.access_map_reject_code, text)


def _defer(run: Run, about: About, text: str) -> Decision:
    return _refuse(run, about, run.settings.access_map_defer_code, text)


def _defer_if_reject(run: Run, about: About, text: str) -> Decision:
    status, why = refusals.split_status(text, "4.7.1")
    code = run.settings.access_map_defer_code
    run.defer_if_reject(refusals.rejected(code, status, about.name, about.what, why or refusals.UNAVAILABLE))
    return None


def _defer_if_permit(run: Run, about: About, text: str) -> Decision:
    status, why = refusals.split_status(text, "4.7.1")
    code = run.settings.access_map_defer_code
    return run.defer_if_permit(refusals.rejected(code, status, about.name, about.what, why or refusals.UNAVAILABLE))


def _permit(run: Run, about: About, text: str) -> Decision:
    return PERMIT


def _dunno(run: Run, about: About, text: str) -> Decision:
    return None


def _can(run: Run, about: About, word: str) -> bool:
    """Whether something can be done to the message now; an action that comes too late, or too early, is warned of."""
    if run.stage in NO_MESSAGE:
        return False
    if run.stage == "END-OF-MESSAGE" and word in TOO_LATE:
        run.warn(f"{about.where}: {word} has no effect at the end of the message")
        return False
    return True


def _hold(run: Run, about: About, text: str) -> Decision:
    if _can(run, about, "HOLD"):
        why = text or "triggers HOLD action"
        run.effect("hold", f"{about.subject} {why}", text or f"{about.subject} {why}")
    return None


def _discard(run: Run, about: About, text: str) -> Decision:
    if not _can(run, about, "DISCARD"):
        return None
    run.effect("discard", f"{about.subject} {text or 'triggers DISCARD action'}")
    run.discarding = True
    return PERMIT


def _filter(run: Run, about: About, text: str) -> Decision:
    if not _TRANSPORT.fullmatch(text):
        run.warn(f"{about.where}: FILTER requires transport:destination")
    elif _can(run, about, "FILTER"):
        run.effect("filter", f"{about.subject} triggers FILTER {text}", text)
    return None


def _mailbox(run: Run, about: About, word: str, text: str) -> str:
    """The address behind REDIRECT or BCC; "" (and a warning) where there is none."""
    try:
        address = parse_path(f"<{text}>")
    except AddressSyntaxError:
        address = None
    if address is None or not address.domain:
        run.warn(f"{about.where}: {word} requires an address user@domain")
        return ""
    return str(address)


def _redirect(run: Run, about: About, text: str) -> Decision:
    address = _mailbox(run, about, "REDIRECT", text)
    if address and _can(run, about, "REDIRECT"):
        run.effect("redirect", f"{about.subject} triggers REDIRECT {address}", address)
    return None


def _bcc(run: Run, about: About, text: str) -> Decision:
    address = _mailbox(run, about, "BCC", text)
    if address and _can(run, about, "BCC"):
        run.effect("bcc", f"{about.subject} triggers BCC {address}", address)
    return None


def _prepend(run: Run, about: About, text: str) -> Decision:
    if not _FIELD.fullmatch(text):
        run.warn(f'{about.where}: PREPEND requires a header field "Name: text"')
    elif _can(run, about, "PREPEND"):
        run.effect("prepend", "", text)
    return None


def _warn(run: Run, about: About, text: str) -> Decision:
    run.effect("warn", f"{about.subject} {text}".rstrip())
    return None


def _info(run: Run, about: About, text: str) -> Decision:
    run.effect("info", f"{about.subject} {text}".rstrip())
    return None


ACTIONS: Final[Mapping[str, Action]] = {
    "OK": _permit,
    "RELAY": _permit,
    "DUNNO": _dunno,
    "REJECT": _reject,
    "DEFER": _defer,
    "DEFER_IF_REJECT": _defer_if_reject,
    "DEFER_IF_PERMIT": _defer_if_permit,
    "HOLD": _hold,
    "DISCARD": _discard,
    "FILTER": _filter,
    "REDIRECT": _redirect,
    "BCC": _bcc,
    "PREPEND": _prepend,
    "WARN": _warn,
    "INFO": _info,
}
"""The words of access(5)."""


def act(run: Run, about: About, value: str) -> Decision:
    """Do what a table or a policy server says."""
    value = " ".join(value.split()) if "\n" in value or "\r" in value else value.strip()
    word, _, text = value.partition(" ") if "\t" not in value else value.replace("\t", " ", 1).partition(" ")
    action = ACTIONS.get(word.upper())
    if action is not None:
        return action(run, about, text.strip())
    if value.isascii() and value.isdigit():
        return PERMIT
    reply = _REPLY.fullmatch(value)
    if reply is not None:
        return _refuse(run, about, int(reply[1]), reply[2] or "")
    return _restrictions(run, about, value)


def _restrictions(run: Run, about: About, value: str) -> Decision:
    """A list of restrictions: what they refuse is about what the table was asked about."""
    try:
        rules = parse_rules(value, run.access_table)
    except ValueError as error:
        run.warn(f"{about.where}: {error}")
        raise Broken(refusals.CONFIGURATION) from None
    before = run.name, run.what
    run.name, run.what = about.name, about.what
    try:
        return run.evaluate(run, rules)
    finally:
        run.name, run.what = before
