"""The commands that a client sends, as octets (RFC 5321 section 4.1.1, RFC 3461, RFC 1870, RFC 6152, RFC 6531).

Everything that comes from an envelope passes `_checked`: no text may end the command early.
"""

from __future__ import annotations

import re

from pillarbox.lib.address.domain import to_ascii
from pillarbox.lib.smtp.client_capabilities import Capabilities

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_XTEXT_UNSAFE = re.compile(rb"[^!-*,-<>-~]")  # RFC 3461 section 4: any CHAR between "!" and "~" but "+" and "="
_UTF8_ADDR_UNSAFE = re.compile(r"[^!-*,-<>-\[\]-~\x80-\U0010ffff]")

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


def xtext(text: str) -> str:
    """`text` in the encoding of RFC 3461 section 4."""
    raw = text.encode("utf-8", "surrogateescape")
    return _XTEXT_UNSAFE.sub(lambda match: b"+%02X" % match[0][0], raw).decode("ascii")


def utf8_addr_xtext(text: str) -> str:
    """`text` as utf-8-addr-unitext, for an ORCPT of type utf-8 over SMTPUTF8 (RFC 6533 section 3)."""
    return _UTF8_ADDR_UNSAFE.sub(lambda match: f"\\x{{{ord(match[0]):X}}}", text)


def hello(verb: str, name: str) -> bytes:
    """`EHLO`, `HELO` or `LHLO`."""
    return f"{verb} {_checked(name)}\r\n".encode("ascii", "replace")


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
) -> bytes:
    """The MAIL command with those parameters that the server understands.  Raises BadAddress.

    `body` is `8bitmime` or else; `ret` is `full` or `hdrs`; `envid` is plain text.
    """
    parts = [f"MAIL FROM:{_path(sender)}"]
    if size and "SIZE" in capabilities:
        parts.append(f"SIZE={size}")
    if body == "8bitmime" and "8BITMIME" in capabilities:
        parts.append("BODY=8BITMIME")
    if smtputf8 and "SMTPUTF8" in capabilities:
        parts.append("SMTPUTF8")
    if "DSN" in capabilities:
        if ret in ("full", "hdrs"):
            parts.append(f"RET={ret.upper()}")
        if envid:
            parts.append(f"ENVID={xtext(envid)}")
    return (" ".join(parts) + "\r\n").encode("utf-8", "surrogateescape")


def rcpt_to(
    recipient: str,
    capabilities: Capabilities,
    *,
    notify: tuple[str, ...] = (),
    orcpt: str = "",
    smtputf8: bool = False,
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
                command += f" ORCPT={_checked(kind)};{xtext(address)}"
            elif smtputf8:
                command += f" ORCPT=utf-8;{utf8_addr_xtext(address)}"
            else:
                escaped = "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)
                command += f" ORCPT=utf-8;{xtext(escaped)}"
    return f"{command}\r\n".encode("utf-8", "surrogateescape")
