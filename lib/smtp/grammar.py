"""MAIL and RCPT as the RFCs write them: the path, then ESMTP parameters (`parameters`).

Promises: any text gives an event or the reply that says what is wrong; linear in the text.  More lenient than the
RFC where real clients are: blanks around the path, and without `strict` (strict_rfc821_envelopes) a missing pair of
angle brackets.  Addresses are read by `pillarbox.lib.address`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, find_path_end, parse_path
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, MailParameter
from pillarbox.lib.smtp.reply import Reply

# RFC 5321 section 4.1.2:
#   esmtp-param   = esmtp-keyword ["=" esmtp-value]
#   esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#   esmtp-value   = 1*(%d33-60 / %d62-126)                     ; any CHAR but "=", SP and controls; RFC 6531 adds UTF-8
# The value of AUTH and ENVID is xtext, which has no "=" either, but clients send base64 in ENVID: "=" is let through
# here and judged by the parameter.
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([^\x00- \x7f]+))?")

# The common case of `"<" Mailbox ">"`: ASCII, dot-string, plain host name; exactly a part of what parse_path takes and
# returns unchanged (a test compares the two).
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_PLAIN: Final = re.compile(rf"<((?=[^@]{{1,64}}@)(?:{_ATOM})(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL}){{0,20}})>", re.ASCII)
_PLAIN_LIMIT: Final = 250


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


def parse_mail(
    argument: str, *, offered: Mapping[str, MailParameter] = MAIL_PARAMETERS, strict: bool = False
) -> Mail | Reply:
    """The argument of MAIL.  `offered`: the readers of the parameters that belong to extensions in use."""
    parts = _split(argument, "FROM:", strict)
    if parts is None:
        return replies.SYNTAX_MAIL
    path, parameters = parts
    sender = plain_path(path)
    event = Mail(sender or "", parameters=parameters)
    if parameters:
        seen = set()
        for word in filter(None, parameters.split(" ")):
            match = _PARAMETER.fullmatch(word)
            if match is None:
                return replies.unsupported(word)
            name = match[1].upper()
            reader = offered.get(name)
            if reader is None:
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
    event = Rcpt(recipient, parameters=parameters)
    if parameters:
        seen = set()
        for word in filter(None, parameters.split(" ")):
            match = _PARAMETER.fullmatch(word)
            name = match[1].upper() if match is not None else ""
            reader = RCPT_PARAMETERS.get(name) if dsn else None
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
