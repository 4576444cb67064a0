"""The attributes of XCLIENT and XFORWARD: what a trusted proxy or filter says about the client in front of it.

    XCLIENT  NAME=spike.example ADDR=192.0.2.1      whom this server is to take the client for
    XFORWARD NAME=spike.example ADDR=192.0.2.1      where the next message came from, for logs and trace

The grammar is that of Postfix's XCLIENT_README and XFORWARD_README: names without regard to case, values in xtext,
`[UNAVAILABLE]` and `[TEMPUNAVAIL]` for what is not known.  Whether the client may say such things is not decided here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pillarbox.lib.message.xtext import decode_xtext
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.reply import Reply

UNAVAILABLE: Final = "[UNAVAILABLE]"
"""Not known, and it will stay so."""

TEMPORARY: Final = "[TEMPUNAVAIL]"
"""Not known for the moment."""

VALUE_LIMIT: Final = 255
"""Characters of a decoded value."""

Reader: TypeAlias = "Callable[[str], str | None]"
"""From a decoded value to the value to keep; None for one that is not well-formed."""

_HOST_NAME: Final = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?"
)
_DIGITS: Final = re.compile(r"[0-9]{1,5}")


def _host_name(value: str) -> str | None:
    return value.rstrip(".") if _HOST_NAME.fullmatch(value) else None


def _address(value: str) -> str | None:
    """IPv4 as it is, IPv6 behind `IPv6:` (RFC 5321 section 4.1.3) or alone; as `ipaddress` writes it."""
    if value[:5].upper() == "IPV6:":
        value = value[5:]
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    return None if "%" in value else str(address)


def _port(value: str) -> str | None:
    return value if _DIGITS.fullmatch(value) and int(value) <= 65535 else None


def _protocol(value: str) -> str | None:
    return value.upper() if value.upper() in ("SMTP", "ESMTP") else None


def _any_protocol(value: str) -> str | None:
    return value if len(value) <= 64 and value.isascii() and value.isalnum() else None


def _source(value: str) -> str | None:
    return value.upper() if value.upper() in ("LOCAL", "REMOTE") else None


def _text(value: str) -> str | None:
    return value if value.isprintable() else None


XCLIENT: Final[Mapping[str, Reader]] = {
    "NAME": _host_name,
    "ADDR": _address,
    "PROTO": _protocol,
    "HELO": _text,
    "REVERSE_NAME": _host_name,
    "PORT": _port,
    "LOGIN": _text,
    "DESTADDR": _address,
    "DESTPORT": _port,
}
"""In the order in which EHLO announces them."""

XFORWARD: Final[Mapping[str, Reader]] = {
    "NAME": _host_name,
    "ADDR": _address,
    "PROTO": _any_protocol,
    "HELO": _text,
    "SOURCE": _source,
    "PORT": _port,
    "IDENT": _text,
}
"""In the order in which EHLO announces them."""


def parse_attributes(command: str, argument: str, readers: Mapping[str, Reader]) -> dict[str, str] | Reply:
    """The attributes that `command` has in its argument, or the reply that says what is wrong with them."""
    words = argument.split()
    if not words:
        return replies.attributes_syntax(command)
    attributes: dict[str, str] = {}
    for word in words:
        name, _, encoded = word.partition("=")
        if not encoded:
            return replies.ATTRIBUTE_VALUE_EXPECTED
        reader = readers.get(name.upper())
        if reader is None:
            return replies.bad_attribute_name(command, name)
        name = name.upper()
        if encoded.upper() in (UNAVAILABLE, TEMPORARY):
            attributes[name] = encoded.upper()
            continue
        value = decode_xtext(encoded)
        if value is None:
            return replies.bad_attribute_value(name, encoded)
        if len(value) > VALUE_LIMIT:
            return replies.ATTRIBUTE_VALUE_TOO_LONG
        kept = reader(value)
        if kept is None:
            return replies.bad_attribute_value(name, encoded)
        attributes[name] = kept
    return attributes


def known(attributes: Mapping[str, str], name: str) -> str:
    """The value of an attribute; "" where it was not given or the other side does not know it."""
    value = attributes.get(name, "")
    return "" if value in (UNAVAILABLE, TEMPORARY) else value
