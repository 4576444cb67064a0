"""Which certificate a running service shows: connects as a client would, by STARTTLS or from the first byte on."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

TIMEOUT = 20.0
"""Seconds for each step; a greeting may be held back on purpose for some."""

LINE_LIMIT, REPLY_LIMIT = 8192, 100
"""Octets of a line and lines of a reply: what listens there may not be ours."""

Protocol = Literal["smtp", "lmtp", "imap", "pop3", "sieve"]


class NotServed(Exception):
    """No certificate was shown; the text says why."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where a service listens, and how it is spoken to."""

    service: str
    protocol: Protocol
    host: str
    number: int
    wrapped: bool
    """TLS from the first byte."""
    proxied: bool = False
    """It expects a PROXY header from us."""

    def __str__(self) -> str:
        return f"{self.service} (port {self.number})"


def served_certificate(port: Port, name: str) -> bytes:
    """The certificate (DER) for clients that ask for `name` ("": for none).  Raises NotServed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((port.host, port.number), TIMEOUT))
            if port.proxied:
                plain.sendall(b"PROXY UNKNOWN\r\n")
            if not port.wrapped:
                _ask_for_tls(plain, port.protocol)
            secured = stack.enter_context(context.wrap_socket(plain, server_hostname=name or None))
            certificate = secured.getpeercert(binary_form=True)
            with contextlib.suppress(OSError):
                _take_leave(secured, port)
    except TimeoutError:
        raise NotServed("it does not answer in time") from None
    except ssl.SSLError as error:
        raise NotServed(f"the TLS handshake fails: {error.reason or error}") from None
    except OSError as error:
        raise NotServed(error.strerror or str(error)) from None
    if certificate is None:
        raise NotServed("it shows no certificate")
    return certificate


def _ask_for_tls(connection: socket.socket, protocol: Protocol) -> None:
    """Bring a session to the point where the handshake begins."""
    match protocol:
        case "smtp" | "lmtp":
            _expect(_reply(connection), b"220", "the greeting")
            offers = _reply(connection, b"LHLO localhost" if protocol == "lmtp" else b"EHLO localhost")
            _expect(offers, b"250", "the answer to EHLO")
            if not any(line[4:].strip().upper() == b"STARTTLS" for line in offers):
                raise NotServed("STARTTLS is not offered")
            _expect(_reply(connection, b"STARTTLS"), b"220", "the answer to STARTTLS")
        case "imap":
            _expect([_line(connection)], b"* OK", "the greeting")
            connection.sendall(b"a STARTTLS\r\n")
            for _ in range(REPLY_LIMIT):
                line = _line(connection)
                if line.startswith(b"a "):
                    _expect([line], b"a OK", "the answer to STARTTLS")
                    return
            raise NotServed("the answer to STARTTLS does not end")
        case "pop3":
            _expect([_line(connection)], b"+OK", "the greeting")
            connection.sendall(b"STLS\r\n")
            _expect([_line(connection)], b"+OK", "the answer to STLS")
        case "sieve":
            _greeted(connection)
            connection.sendall(b"STARTTLS\r\n")
            _expect([_line(connection)], b"OK", "the answer to STARTTLS")


def _greeted(connection: socket.socket) -> None:
    """Read the capabilities with which ManageSieve greets, to their end."""
    for _ in range(REPLY_LIMIT):
        line = _line(connection)
        if not line.startswith(b'"'):
            _expect([line], b"OK", "the greeting")
            return
    raise NotServed("the greeting does not end")


def _take_leave(secured: ssl.SSLSocket, port: Port) -> None:
    """End the session in good order, so that the log shows no broken connection."""
    if port.wrapped:
        _line(secured)
    secured.sendall({"imap": b"z LOGOUT\r\n", "sieve": b"LOGOUT\r\n"}.get(port.protocol, b"QUIT\r\n"))
    while secured.recv(4096):
        continue


def _reply(connection: socket.socket, command: bytes = b"") -> list[bytes]:
    if command:
        connection.sendall(command + b"\r\n")
    lines: list[bytes] = []
    while len(lines) < REPLY_LIMIT:
        lines.append(_line(connection))
        if lines[-1][3:4] != b"-":
            return lines
    raise NotServed("a reply does not end")


def _line(connection: socket.socket) -> bytes:
    """One line, read octet by octet: nothing behind it may be taken, it may be the handshake's."""
    line = b""
    while not line.endswith(b"\n"):
        octet = connection.recv(1)
        if not octet or len(line) > LINE_LIMIT:
            raise NotServed("the connection was closed" if not octet else "it does not speak the protocol")
        line += octet
    return line.rstrip(b"\r\n")


def _expect(lines: list[bytes], start: bytes, what: str) -> None:
    if not lines[-1].startswith(start):
        raise NotServed(f"{what} is: {lines[-1][:100].decode('ascii', 'replace')}")
