"""The parameters of MAIL and RCPT: one reader for each, found by a table.

A reader takes the event and the value (None where there was no "=") and returns a refusal, or None after it has put
the value into the event.  What depends on the clock, on limits or on the session is looked at later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

from pillarbox.lib.message.xtext import decode_utf8_address, decode_xtext
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.reply import Reply

MailParameter: TypeAlias = Callable[[Mail, "str | None"], "Reply | None"]
RcptParameter: TypeAlias = Callable[[Rcpt, "str | None"], "Reply | None"]

ENVID_LIMIT: Final = 100  # RFC 3461 section 4.4, characters
ORCPT_LIMIT: Final = 500  # RFC 3461 section 4.2, characters

_SIZE: Final = re.compile(r"[0-9]{1,20}", re.ASCII)  # RFC 1870 section 4: 1*20DIGIT
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9\-]+")  # RFC 3461 section 4.2: an atom; registered ones look like this
# RFC 2852 section 4: by-value = by-time ";" by-mode [by-trace]; by-time = ["-" / "+"] 1*9DIGIT
_BY: Final = re.compile(r"([+-]?[0-9]{1,9});([RN]T?)", re.IGNORECASE | re.ASCII)
_HOLD_FOR: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)  # RFC 4865 section 4: 1*9DIGIT, not 0
# RFC 3339 section 5.6, as RFC 4865 section 4 wants it
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE | re.ASCII,
)


# --- MAIL
def _size(event: Mail, value: str | None) -> Reply | None:
    """RFC 1870."""
    if value is None or not _SIZE.fullmatch(value):
        return replies.BAD_SIZE
    event.size = int(value)
    return None


def _body(event: Mail, value: str | None) -> Reply | None:
    """RFC 6152; BINARYMIME: RFC 3030 section 3."""
    body = (value or "").lower()
    if body not in ("7bit", "8bitmime", "binarymime"):
        return replies.BODY_UNKNOWN if body else replies.BAD_BODY
    event.body = body
    return None


def _ret(event: Mail, value: str | None) -> Reply | None:
    """RFC 3461 section 4.3."""
    ret = (value or "").lower()
    if ret not in ("full", "hdrs"):
        return replies.BAD_RET
    event.ret = ret
    return None


def _envid(event: Mail, value: str | None) -> Reply | None:
    """RFC 3461 section 4.4: xtext of printable characters."""
    text = decode_xtext(value or "") if len(value or "") <= ENVID_LIMIT * 3 else None
    if not text or len(text) > ENVID_LIMIT or not _clean_ascii(text):
        return replies.BAD_ENVID
    event.envid = text
    return None


def _auth(event: Mail, value: str | None) -> Reply | None:
    """RFC 4954 section 5: an address in xtext, or <>."""
    if value == "<>":
        event.auth = ""
        return None
    text = decode_xtext(value or "")
    if not text or not _clean(text):
        return replies.BAD_AUTH
    event.auth = text
    return None


def _smtputf8(event: Mail, value: str | None) -> Reply | None:
    """RFC 6531 section 3.4: no value."""
    if value is not None:
        return replies.BAD_SMTPUTF8
    event.smtputf8 = True
    return None


def _requiretls(event: Mail, value: str | None) -> Reply | None:
    """RFC 8689 section 3: no value."""
    if value is not None:
        return replies.BAD_REQUIRETLS
    event.requiretls = True
    return None


def _xverp(event: Mail, value: str | None) -> Reply | None:
    """VERP_README of Postfix: no value, or two delimiters; which ones may be asked for is looked at later."""
    event.verp = value or ""
    return None


def _by(event: Mail, value: str | None) -> Reply | None:
    """RFC 2852 section 4: a time in seconds from now, R (return) or N (notify), perhaps T (trace)."""
    match = _BY.fullmatch(value or "")
    if match is None:
        return replies.BAD_BY
    event.by, event.by_mode = int(match[1]), match[2].upper()
    if event.by <= 0 and event.by_mode[0] == "R":
        return replies.BY_NOT_POSITIVE
    return None


def _hold_for(event: Mail, value: str | None) -> Reply | None:
    """RFC 4865 section 4: seconds."""
    if event.hold_until:
        return replies.HELD_TWICE
    if value is None or not _HOLD_FOR.fullmatch(value):
        return replies.BAD_HOLDFOR
    event.hold_for = int(value)
    return None


def _hold_until(event: Mail, value: str | None) -> Reply | None:
    """RFC 4865 section 4: a date and time of RFC 3339."""
    if event.hold_for:
        return replies.HELD_TWICE
    if value is None or not _DATE_TIME.fullmatch(value):
        return replies.BAD_HOLDUNTIL
    try:
        event.hold_until = datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        return replies.BAD_HOLDUNTIL
    if event.hold_until <= 0:
        return replies.BAD_HOLDUNTIL
    return None


MAIL_PARAMETERS: Final[Mapping[str, MailParameter]] = {
    "SIZE": _size,
    "BODY": _body,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
    "SMTPUTF8": _smtputf8,
    "REQUIRETLS": _requiretls,
    "XVERP": _xverp,
    "BY": _by,
    "HOLDFOR": _hold_for,
    "HOLDUNTIL": _hold_until,
}

EXTENSIONS: Final[Mapping[str, str]] = {
    "RET": "DSN",
    "ENVID": "DSN",
    "AUTH": "AUTH",
    "SMTPUTF8": "SMTPUTF8",
    "REQUIRETLS": "REQUIRETLS",
    "BY": "DELIVERBY",
    "HOLDFOR": "FUTURERELEASE",
    "HOLDUNTIL": "FUTURERELEASE",
}
"""The extensions that parameters of MAIL belong to; SIZE and BODY are always understood."""


# --- RCPT
def _notify(event: Rcpt, value: str | None) -> Reply | None:
    """RFC 3461 section 4.1: NEVER alone, or a list of SUCCESS, FAILURE, DELAY."""
    values = tuple((value or "").lower().split(","))
    if values != ("never",) and not all(word in ("success", "failure", "delay") for word in values):
        return replies.BAD_NOTIFY
    event.notify = tuple(dict.fromkeys(values))
    return None


def _orcpt(event: Rcpt, value: str | None) -> Reply | None:
    """RFC 3461 section 4.2: addr-type ";" xtext; RFC 6533 section 3 for the type utf-8."""
    kind, semicolon, encoded = (value or "").partition(";")
    if not semicolon or not encoded or len(encoded) > ORCPT_LIMIT or not _ADDRESS_TYPE.fullmatch(kind):
        return replies.BAD_ORCPT
    if kind.lower() == "utf-8":
        text = decode_utf8_address(encoded)
        if text is not None and "+" in text and text.isascii():
            text = decode_xtext(text) or text
    else:
        text = decode_xtext(encoded)
    if not text or not _clean(text):
        return replies.BAD_ORCPT
    event.orcpt = f"{kind};{text}"
    return None


RCPT_PARAMETERS: Final[Mapping[str, RcptParameter]] = {"NOTIFY": _notify, "ORCPT": _orcpt}
"""Both belong to DSN."""


def _clean(text: str) -> bool:
    """No controls, no broken UTF-8: the text goes into queue files, logs and other programs' commands."""
    return not any(
        character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff" for character in text
    )


def _clean_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()
