"""The base64 lines in which SMTP, IMAP, POP3 and ManageSieve carry SASL (RFC 4954 section 4, RFC 5034, RFC 9051).

Reads one line without its line end.  It does not read lines from a connection: the caller keeps the length limit
`RESPONSE_LIMIT` while it reads, and it is checked here once more.
"""

from __future__ import annotations

import binascii

RESPONSE_LIMIT = 12288
"""Octets of one base64 line without CRLF.  RFC 4954 section 4 demands at least this: Kerberos tickets are long."""

ABORT = b"*"


class SaslSyntaxError(Exception):
    """The line is too long or no base64 (SMTP 501 5.5.2)."""


class SaslAborted(Exception):
    """The client gave the exchange up with `*` (SMTP 501 5.7.0)."""


def decode_response(line: bytes) -> bytes:
    """The octets of a client response.  Raises `SaslAborted` for `*`, `SaslSyntaxError` for anything but base64."""
    if line == ABORT:
        raise SaslAborted
    if len(line) > RESPONSE_LIMIT:
        raise SaslSyntaxError(f"response longer than {RESPONSE_LIMIT} octets")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise SaslSyntaxError("response is no base64") from None


def decode_initial(argument: bytes) -> bytes:
    """The octets of an initial response on the AUTH command's line, where `=` stands for an empty one."""
    return b"" if argument == b"=" else decode_response(argument)


def encode(data: bytes) -> bytes:
    """A challenge or response as one base64 line without line end."""
    return binascii.b2a_base64(data, newline=False)
