"""Idle IMAP sessions of many users: each with its INBOX selected, in IDLE."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence

from tests.e2e.wire import trusting
from tests.lab.instance import Instance


def _say(client: socket.socket, line: bytes, until: bytes) -> None:
    client.sendall(line)
    said = b""
    while until not in said:
        piece = client.recv(65536)
        if not piece:
            raise AssertionError(f"{line!r} got {said!r} and the end of the connection")
        said += piece


def connect(mail: Instance, user: str, password: str, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A session in IDLE with the INBOX selected."""
    client: socket.socket = socket.create_connection((mail.address, mail.port("imap")), 60)
    _say(client, b"", b"\r\n")
    if tls is not None:
        _say(client, b"s STARTTLS\r\n", b"\r\n")
        client = tls.wrap_socket(client)
    _say(client, f"a LOGIN {user} {password}\r\n".encode(), b"a OK")
    _say(client, b"b SELECT INBOX\r\n", b"b OK")
    _say(client, b"c IDLE\r\n", b"+ ")
    return client


@contextlib.contextmanager
def idle(mail: Instance, users: Sequence[str], count: int, *, tls: bool = False) -> Iterator[list[socket.socket]]:
    """So many sessions, of all users of the instance in turn."""
    context = trusting(mail) if tls else None
    with contextlib.ExitStack() as opened:
        clients = []
        for number in range(count):
            user = users[number % len(users)]
            clients.append(opened.enter_context(connect(mail, user, mail.users[user], context)))
        yield clients
