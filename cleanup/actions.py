"""The actions of header_checks(5): one function each, found by name.

An action says what becomes of the field or line that it was found for (`Outcome`), records what becomes of the message
in its `Disposition`, and writes the line in the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pillarbox.cleanup.reports import report
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.log import log

if TYPE_CHECKING:
    from pillarbox.cleanup.message import NewMessage

REJECTED: Final = Rejected(550, "5.7.1", "message content rejected")
Context: TypeAlias = Literal["header", "body", "milter header"]
_STATUS: Final = re.compile(r"([0-9])\.(\d{1,3}\.\d{1,3})(?:\s+|$)", re.ASCII)
_FIELD: Final = re.compile(r"[!-9;-~]+[ \t]*:")


@dataclass(frozen=True, slots=True)
class Case:
    """A table has an answer: `text` behind the action, for `content`, a `context`, in the tables of `title`."""

    message: NewMessage
    context: Context
    content: str
    title: str
    text: str

    def log(self, action: str, text: str = "") -> None:
        report(self.message, action, self.context, self.content, text or self.text)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`before` is put in front of the field or line, `instead` in its place; without `kept` it goes."""

    kept: bool = True
    before: str | None = None
    instead: str | None = None


KEEP: Final = Outcome()
DROP: Final = Outcome(kept=False)


def _reject(case: Case) -> Outcome:
    status = _STATUS.match(case.text)
    enhanced, text = "5.7.1", case.text
    if status is not None:
        if status[1] not in "45":
            log.warning(f"bad DSN action in {case.text} -- need 4.x.x or 5.x.x")
        enhanced = f"{status[1] if status[1] in '45' else '4'}.{status[2]}"
        text = case.text[status.end() :]
    refusal = Rejected(550 if enhanced[0] == "5" else 451, enhanced, text or REJECTED.text)
    case.message.disposition.reject(refusal)
    case.log("reject", f"{refusal.enhanced} {refusal.text}")
    return KEEP


def _warn(case: Case) -> Outcome:
    case.log("warning")
    return KEEP


def _info(case: Case) -> Outcome:
    case.log("info")
    return KEEP


def _filter(case: Case) -> Outcome:
    if not case.text:
        log.warning(f"missing FILTER command argument in {case.title} map")
    elif ":" not in case.text:
        log.warning(f"bad FILTER command {case.text} in {case.title} -- need transport:destination")
    else:
        case.message.disposition.filter = case.text
        case.log("filter")
    return KEEP


def _pass(case: Case) -> Outcome:
    case.log("pass")
    case.message.disposition.inspected = False
    return KEEP


def _discard(case: Case) -> Outcome:
    case.log("discard")
    case.message.disposition.discard = True
    case.message.disposition.inspected = False
    return KEEP


def _hold(case: Case) -> Outcome:
    disposition = case.message.disposition
    if not disposition.hold and not disposition.discard:
        case.log("hold")
        disposition.hold = case.text or case.title
    return KEEP


def _redirect(case: Case) -> Outcome:
    if "@" not in case.text:
        log.warning(f'bad REDIRECT target "{case.text}" in {case.title} map -- need user@domain')
    else:
        case.message.disposition.redirect = case.text
        case.message.disposition.inspected = False
        case.log("redirect")
    return KEEP


def _bcc(case: Case) -> Outcome:
    if "@" not in case.text:
        log.warning(f'bad BCC address "{case.text}" in {case.title} map -- need user@domain')
    else:
        case.message.disposition.bcc.append(case.text)
        case.log("bcc")
    return KEEP


def _replace(case: Case) -> Outcome:
    if not _usable(case, "REPLACE"):
        return KEEP
    case.log("replace")
    return Outcome(instead=case.text)


def _prepend(case: Case) -> Outcome:
    if not _usable(case, "PREPEND"):
        return KEEP
    case.log("prepend")
    return Outcome(before=case.text)


def _usable(case: Case, action: str) -> bool:
    if not case.text:
        log.warning(f"{action} action without text in {case.title} map")
        return False
    if case.context == "header" and not _FIELD.match(case.text):
        log.warning(f'bad {action} header text "{case.text}" in {case.title} map -- need "headername: headervalue"')
        return False
    return True


def _strip(case: Case) -> Outcome:
    case.log("strip")
    return DROP


def _ignore(case: Case) -> Outcome:
    return DROP


def _dunno(case: Case) -> Outcome:
    return KEEP


ACTIONS: Final[dict[str, Callable[[Case], Outcome]]] = {
    "BCC": _bcc,
    "DISCARD": _discard,
    "DUNNO": _dunno,
    "FILTER": _filter,
    "HOLD": _hold,
    "IGNORE": _ignore,
    "INFO": _info,
    "OK": _dunno,
    "PASS": _pass,
    "PREPEND": _prepend,
    "REDIRECT": _redirect,
    "REJECT": _reject,
    "REPLACE": _replace,
    "STRIP": _strip,
    "WARN": _warn,
}


def act(message: NewMessage, context: Context, content: str, value: str, title: str) -> Outcome:
    """Do what a table says; an action that does not exist is reported and does nothing, as in Postfix."""
    word = value.replace("\t", " ").partition(" ")[0]
    action = ACTIONS.get(word.upper())
    if action is None:
        log.warning(f"unknown command in {title} map: {value}")
        return KEEP
    return action(Case(message, context, content, title, value[len(word) :].strip()))
