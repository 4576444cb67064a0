"""The commands that a client sends, as octets (RFC 5321 section 4.1.1, RFC 3461, RFC 1870, RFC 6152, RFC 6531).

Everything that comes from an envelope passes `_checked`: no text may end the command early.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping

from pillarbox.lib.address.domain import to_ascii
from pillarbox.lib.message.xtext import encode_utf8_address, encode_xtext
from pillarbox.lib.smtp.client_capabilities import Capabilities

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_XTEXT_SAFE = re.compile(r"[!-*,-<>-~]*")  # RFC 3461 section 4; what nearly every address is made of

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"


class BadAddress(ValueError):
    """An address that cannot be sent on the wire."""


def _checked(text: str) -> str:
    if _CONTROLS.search(text):
        raise BadAddress("a control character in an address")
    return text


def _path(address: str) -> str:
    if ">" in address and not address.startswith('"'):
        raise BadAddress("an angle bracket in an address")
    return f"<{_checked(address)}>"


def _xtext(text: str) -> str:
    return text if _XTEXT_SAFE.fullmatch(text) else encode_xtext(text)


def hello(verb: str, name: str) -> bytes:
    """`EHLO`, `HELO` or `LHLO`."""
    return f"{verb} {_checked(name)}\r\n".encode("ascii", "replace")


AUTH_LIMIT = 512
"""Octets of an AUTH command with its initial response (RFC 4954 section 4)."""


def auth(mechanism: str, initial: bytes | None) -> bytes:
    """`AUTH`, with the initial response in base64 where there is one."""
    command = f"AUTH {mechanism}".encode("ascii")
    if initial is not None:
        command += b" " + (b2a_base64(initial, newline=False) or b"=")
    return command + b"\r\n"


def initial_fits(mechanism: str, initial: bytes) -> bool:
    """Whether an initial response may stand in the command; a longer one is sent when the server asks for it."""
    return len(auth(mechanism, initial)) <= AUTH_LIMIT


def auth_response(response: bytes | None) -> bytes:
    """The answer to a challenge; None gives the exchange up."""
    return (b"*" if response is None else b2a_base64(response, newline=False)) + b"\r\n"


def ascii_address(address: str) -> str | None:
    """The address with its domain in A-labels; None where its local part is not ASCII (RFC 6531 section 3.2)."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    converted = to_ascii(domain)
    return f"{local}{at}{converted}" if local.isascii() and converted else None


def mail_from(
    sender: str,
    capabilities: Capabilities,
    *,
    size: int = 0,
    body: str = "",
    smtputf8: bool = False,
    ret: str = "",
    envid: str = "",
    requiretls: bool = False,
    by: str = "",
    authenticated: bool = False,
) -> bytes:
    """The MAIL command with those parameters that the server understands.  Raises BadAddress.

    `body` is `8bitmime`, `binarymime` or else; `ret` is `full` or `hdrs`; `envid` is plain text; `by` is the value of
    the BY parameter (RFC 2852).  In an `authenticated` session AUTH says that we vouch for nobody (RFC 4954 section 5).
    """
    parts = [f"MAIL FROM:{_path(sender)}"]
    if size and "SIZE" in capabilities:
        parts.append(f"SIZE={size}")
    if body == "8bitmime" and "8BITMIME" in capabilities:
        parts.append("BODY=8BITMIME")
    elif body == "binarymime" and capabilities.binary:
        parts.append("BODY=BINARYMIME")
    if smtputf8 and "SMTPUTF8" in capabilities:
        parts.append("SMTPUTF8")
    if requiretls and "REQUIRETLS" in capabilities:
        parts.append("REQUIRETLS")
    if authenticated and "AUTH" in capabilities:
        parts.append("AUTH=<>")
    if by and "DELIVERBY" in capabilities:
        parts.append(f"BY={by}")
    if "DSN" in capabilities:
        if ret in ("full", "hdrs"):
            parts.append(f"RET={ret.upper()}")
        if envid:
            parts.append(f"ENVID={_xtext(envid)}")
    return (" ".join(parts) + "\r\n").encode("utf-8", "surrogateescape")


UNAVAILABLE = "[UNAVAILABLE]"
"""What XFORWARD says of something that is not known."""

XFORWARD_LIMIT = 255
"""Octets of one attribute."""


def xforward(attributes: Mapping[str, str], capabilities: Capabilities) -> list[bytes]:
    """XFORWARD commands with those attributes that the server takes; "" stands for what is not known.

    Values are xtext; two commands, as some servers have a short limit for one (Postfix's XFORWARD_README).
    """
    commands = []
    for group in (("NAME", "ADDR", "PORT"), ("PROTO", "HELO", "IDENT", "SOURCE")):
        words = [
            f"{name}={_xtext(attributes[name][:XFORWARD_LIMIT]) or UNAVAILABLE}"
            for name in group
            if name in capabilities.forwarded and name in attributes
        ]
        if words:
            commands.append(f"XFORWARD {' '.join(words)}\r\n".encode("ascii"))
    return commands


def bdat(size: int) -> bytes:
    """The command before content of that many octets, all in one piece (RFC 3030 section 2)."""
    return b"BDAT %d LAST\r\n" % size


def rcpt_to(
    recipient: str,
    capabilities: Capabilities,
    *,
    notify: tuple[str, ...] = (),
    orcpt: str = "",
) -> bytes:
    """The RCPT command with those parameters that the server understands.  Raises BadAddress.

    `orcpt` is `TYPE;ADDRESS` with the address decoded.
    """
    command = f"RCPT TO:{_path(recipient)}"
    if "DSN" in capabilities and (notify or orcpt):
        if notify:
            command += f" NOTIFY={','.join(notify).upper()}"
        kind, semicolon, address = orcpt.partition(";")
        if semicolon:
            if address.isascii():
                command += f" ORCPT={_checked(kind)};{_xtext(address)}"
            else:  # RFC 6533 section 3; this form is good with and without SMTPUTF8
                command += f" ORCPT=utf-8;{encode_utf8_address(address)}"
    return f"{command}\r\n".encode("utf-8", "surrogateescape")
