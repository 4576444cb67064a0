"""The envelope grammar: Path, Mailbox and address literals of RFC 5321 section 4.1.2, with RFC 6531.

Promises: text is accepted exactly when it is one whole path; source routes are read and dropped (section 4.1.2,
appendix C); length limits of section 4.5.3.1 hold; work is linear in the text.  Wider than the RFC, because real
addresses are: dots anywhere in an unquoted local part (`a..b.@docomo.example`; the value is then written quoted, which
is the same mailbox), underscores in host names, one dot after the domain (dropped), and with `allow_bare` a local part
alone (RCPT TO:<postmaster>, local submission).
"""

from __future__ import annotations

import re

from pillarbox.lib.address.address import (
    DOMAIN_LIMIT,
    DOTTED_STRING,
    LOCAL_PART_LIMIT,
    PATH_LIMIT,
    Address,
    AddressSyntaxError,
    unquote_local,
)
from pillarbox.lib.address.domain import is_domain, is_literal

NULL = Address("")

# Quoted-string = DQUOTE *QcontentSMTP DQUOTE; QcontentSMTP is printable ASCII, pairs, or UTF8-non-ascii.
_QUOTED_STRING = re.compile(r'"(?:[^\x00-\x1f"\\\x7f-\x9f]|\\[\x20-\x7e])*"')
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_path(text: str, *, allow_null: bool = False, allow_bare: bool = False, allow_utf8: bool = True) -> Address:
    """Read one `<path>` as in MAIL FROM:<path>, and nothing after it.

    `allow_null`: `<>` is the null reverse-path.  `allow_bare`: a local part alone will do.  `allow_utf8`: RFC 6531
    addresses (the client must have said SMTPUTF8).  Raises AddressSyntaxError.
    """
    if len(text) < 2 or text[0] != "<" or text[-1] != ">":
        raise AddressSyntaxError("the address must stand in angle brackets")
    if text == "<>":
        if allow_null:
            return NULL
        raise AddressSyntaxError("the address is empty")
    return parse_mailbox(_without_route(text[1:-1]), allow_bare=allow_bare, allow_utf8=allow_utf8)


def find_path_end(text: str) -> int:
    """The index after the `>` that closes the path at the start of `text`, -1 where there is none.

    What follows are ESMTP parameters; a `>` inside a quoted local part does not close.
    """
    if text[:1] != "<":
        return -1
    quoted = escaped = False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return position + 1
    return -1


def parse_mailbox(text: str, *, allow_bare: bool = False, allow_utf8: bool = True) -> Address:
    """Read one Mailbox (`local@domain`, no brackets).  Raises AddressSyntaxError."""
    if not text.isascii():
        if not allow_utf8:
            raise AddressSyntaxError("the address is not ASCII; SMTPUTF8 is needed")
        if _SURROGATE.search(text):
            raise AddressSyntaxError("the address is not valid UTF-8")
    local_text, domain = _split(text)
    if not domain and not (allow_bare and local_text == text):
        raise AddressSyntaxError("the address has no domain")
    _check_lengths(local_text, domain)
    if DOTTED_STRING.fullmatch(local_text):
        local = local_text
    elif _QUOTED_STRING.fullmatch(local_text):
        local = unquote_local(local_text)
    else:
        raise AddressSyntaxError("the part before the @ is not well-formed")
    if not local and not domain:  # `""`: taken for the null reverse-path it would be another address
        raise AddressSyntaxError("the address is empty")
    if len(domain) > 1 and domain[-1] == ".":
        domain = domain[:-1]
    if domain and not (is_literal(domain) if domain[0] == "[" else is_domain(domain)):
        raise AddressSyntaxError("the part after the @ is not a domain name or address literal")
    return Address(local, domain)


def _split(text: str) -> tuple[str, str]:
    if text[:1] == '"':
        quoted = _QUOTED_STRING.match(text)
        if quoted is None:
            raise AddressSyntaxError("the quoted part before the @ does not end")
        rest = text[quoted.end() :]
        if not rest:
            return text, ""
        if rest[0] != "@":
            raise AddressSyntaxError("after the quoted part an @ must follow")
        return quoted.group(), rest[1:]
    local, at, domain = text.partition("@")
    # "user@" keeps its @ in the first part, so that it is told from "user" and refused.
    return (local, domain) if at and domain else (text, "")


def _check_lengths(local: str, domain: str) -> None:
    """Limits are octets as sent.  Quotes count: the limit is on the written form."""
    if len(local) > LOCAL_PART_LIMIT or (not local.isascii() and len(local.encode()) > LOCAL_PART_LIMIT):
        raise AddressSyntaxError(f"the part before the @ is longer than {LOCAL_PART_LIMIT} octets")
    if len(domain) > DOMAIN_LIMIT or (not domain.isascii() and len(domain.encode()) > DOMAIN_LIMIT):
        raise AddressSyntaxError(f"the domain is longer than {DOMAIN_LIMIT} octets")
    if len(local.encode()) + len(domain.encode()) + 3 > PATH_LIMIT:
        raise AddressSyntaxError(f"the address is longer than {PATH_LIMIT} octets")


def _without_route(text: str) -> str:
    """Drop A-d-l `@one,@two:` in front of the mailbox (RFC 5321 appendix C: SHOULD be ignored)."""
    if text[:1] != "@":
        return text
    route, colon, mailbox = text.partition(":")
    hosts = route.split(",")
    if not colon or len(route) > PATH_LIMIT or not all(host[:1] == "@" and is_domain(host[1:]) for host in hosts):
        raise AddressSyntaxError("the source route is not well-formed")
    return mailbox
