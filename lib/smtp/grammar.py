"""MAIL and RCPT as the RFCs write them: the path, then ESMTP parameters.

Promises: any text gives an event or the reply that says what is wrong; linear in the text.  More lenient than the
RFC where real clients are: blanks around the path, and without `strict` (strict_rfc821_envelopes) a missing pair of
angle brackets.  Addresses are read by `pillarbox.lib.address`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, find_path_end, parse_path
from pillarbox.lib.message.xtext import decode_utf8_address, decode_xtext
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.reply import Reply

ENVID_LIMIT: Final = 100  # RFC 3461 section 4.4, characters
ORCPT_LIMIT: Final = 500  # RFC 3461 section 4.2, characters

# RFC 5321 section 4.1.2:
#   esmtp-param   = esmtp-keyword ["=" esmtp-value]
#   esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#   esmtp-value   = 1*(%d33-60 / %d62-126)                     ; any CHAR but "=", SP and controls; RFC 6531 adds UTF-8
# The value of AUTH and ENVID is xtext, which has no "=" either, but clients send base64 in ENVID: "=" is let through
# here and judged by the parameter.
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([!-~\u0080-\U0010ffff]+))?")

# The common case of `"<" Mailbox ">"`: ASCII, dot-string, plain host name; exactly a part of what parse_path takes and
# returns unchanged (a test compares the two).
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_PLAIN: Final = re.compile(rf"<((?=[^@]{{1,64}}@)(?:{_ATOM})(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL}){{0,20}})>", re.ASCII)
_PLAIN_LIMIT: Final = 250

_SIZE: Final = re.compile(r"[0-9]{1,20}")  # RFC 1870 section 4: 1*20DIGIT
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9\-]+")  # RFC 3461 section 4.2: an atom; registered ones look like this


def plain_path(text: str) -> str | None:
    """The address in `<address>` where it is of the simplest kind, else None."""
    match = _PLAIN.fullmatch(text)
    return match[1] if match is not None and len(text) <= _PLAIN_LIMIT else None


class PathError(Exception):
    """The path is not well-formed, or needs SMTPUTF8."""


def _split(argument: str, keyword: str, strict: bool) -> tuple[str, str] | None:
    """`FROM:<path> parameters` as (path, parameters); None where it does not have this form."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    rest = argument[len(keyword) :].lstrip(" \t")
    if rest[:1] != "<":
        if strict or not rest or rest[0] == ">":
            return None
        path, _, parameters = rest.partition(" ")
        return f"<{path}>", parameters
    end = rest.find(">") + 1
    if '"' in rest[:end]:  # a ">" in a quoted local part does not end the path
        end = find_path_end(rest)
    if end <= 0:
        return None
    if len(rest) > end and rest[end] not in " \t":
        return None
    return rest[:end], rest[end:]


def parse_mail(argument: str, *, dsn: bool = True, smtputf8: bool = True, auth: bool, strict: bool) -> Mail | Reply:
    """The argument of MAIL.  `dsn`, `smtputf8`, `auth`: whether these extensions are offered."""
    parts = _split(argument, "FROM:", strict)
    if parts is None:
        return replies.SYNTAX_MAIL
    path, parameters = parts
    sender = plain_path(path)
    event = Mail(sender or "")
    if parameters:
        seen = set()
        for word in filter(None, parameters.split(" ")):
            match = _PARAMETER.fullmatch(word)
            if match is None:
                return replies.unsupported(word)
            name = match[1].upper()
            reader = _MAIL_PARAMETERS.get(name)
            if (
                reader is None
                or (not dsn and name in ("RET", "ENVID"))
                or (not smtputf8 and name == "SMTPUTF8")
                or (not auth and name == "AUTH")
            ):
                return replies.unsupported(word)
            if name in seen:
                return replies.repeated(name)
            seen.add(name)
            problem = reader(event, match[2])
            if problem is not None:
                return problem
    if sender is None:
        try:
            address = parse_path(path, allow_null=True, allow_bare=True)
        except AddressSyntaxError:
            return replies.BAD_SENDER
        if not event.smtputf8 and not address.is_ascii:
            return replies.SENDER_NEEDS_SMTPUTF8
        event.sender = str(address)
    return event


def parse_rcpt(argument: str, *, dsn: bool = True, smtputf8: bool, strict: bool) -> Rcpt | Reply:
    """The argument of RCPT.  `smtputf8`: whether MAIL asked for it."""
    parts = _split(argument, "TO:", strict)
    if parts is None:
        return replies.SYNTAX_RCPT
    path, parameters = parts
    recipient = plain_path(path)
    if recipient is None:
        try:
            address = parse_path(path, allow_bare=True)
        except AddressSyntaxError:
            return replies.BAD_RECIPIENT
        if not smtputf8 and not address.is_ascii:
            return replies.RECIPIENT_NEEDS_SMTPUTF8
        recipient = str(address)
    event = Rcpt(recipient)
    if parameters:
        seen = set()
        for word in filter(None, parameters.split(" ")):
            match = _PARAMETER.fullmatch(word)
            name = match[1].upper() if match is not None else ""
            reader = _RCPT_PARAMETERS.get(name) if dsn else None
            if match is None or reader is None:
                return replies.unsupported(word)
            if name in seen:
                return replies.repeated(name)
            seen.add(name)
            problem = reader(event, match[2])
            if problem is not None:
                return problem
        if event.orcpt and not smtputf8 and not event.orcpt.isascii() and "utf-8;" not in event.orcpt.lower():
            return replies.BAD_ORCPT
    return event


# --- MAIL parameters: each takes the event and the value (None where there was no "=") and returns a refusal or None
def _size(event: Mail, value: str | None) -> Reply | None:
    """RFC 1870."""
    if value is None or not _SIZE.fullmatch(value):
        return replies.BAD_SIZE
    event.size = int(value)
    return None


def _body(event: Mail, value: str | None) -> Reply | None:
    """RFC 6152; BINARYMIME (RFC 3030) is not offered."""
    body = (value or "").lower()
    if body not in ("7bit", "8bitmime"):
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


_MAIL_PARAMETERS: Final[dict[str, Callable[[Mail, str | None], Reply | None]]] = {
    "SIZE": _size,
    "BODY": _body,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
    "SMTPUTF8": _smtputf8,
}


# --- RCPT parameters
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


_RCPT_PARAMETERS: Final[dict[str, Callable[[Rcpt, str | None], Reply | None]]] = {"NOTIFY": _notify, "ORCPT": _orcpt}


def _clean(text: str) -> bool:
    """No controls, no broken UTF-8: the text goes into queue files, logs and other programs' commands."""
    return not any(
        character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff" for character in text
    )


def _clean_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()
