"""A client that costs little, because it shares the processors with the server: raw sockets, commands made beforehand.

A closed loop: every connection sends its next command when the last one is answered.  One thread leads all connections.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

TIMEOUT = 600.0
"""Seconds; an answer that takes longer is a failure."""

_PIECE = 1 << 20
_TAIL = 2048


@dataclass(frozen=True, slots=True)
class Account:
    """Where to log in, and as whom."""

    address: str
    port: int
    user: str
    password: str = "secret"


class Connection:
    """An IMAP connection; its first answer is the greeting."""

    def __init__(self, account: Account) -> None:
        self.socket = socket.create_connection((account.address, account.port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(_PIECE)
        self._tail = b""
        self._tag = b"*"
        self.asked = 0
        self.last = b""
        self.received = 0
        self.good = True

    def send(self, command: bytes) -> None:
        """Send a command (without tag and CRLF).  The greeting must have been read."""
        self.asked += 1
        self.last = command
        self._tag = b"t%d" % self.asked
        self._tail = b""
        self.socket.sendall(b"%b %b\r\n" % (self._tag, command))

    def answered(self) -> bool:
        """Take what has come; whether the answer is complete.  `good` says what it was."""
        got = self.socket.recv_into(self._buffer)
        if not got:
            raise AssertionError(f"the server has closed the connection; the last words were {self._tail[-300:]!r}")
        self.received += got
        tail = self._tail + bytes(self._buffer[max(0, got - _TAIL) : got])
        self._tail = tail = tail[-_TAIL:]
        if not tail.endswith(b"\r\n"):
            return False
        last = tail.rfind(b"\n", 0, -1) + 1
        if not tail.startswith(self._tag + b" ", last):
            return False
        self.good = tail.startswith(b"OK", last + len(self._tag) + 1)
        return True

    def command(self, command: bytes) -> None:
        """Send and wait.  Raises AssertionError where the answer is not OK."""
        self.send(command)
        while not self.answered():
            pass
        if not self.good:
            raise AssertionError(f"{command[:80]!r}: {self._tail[-300:]!r}")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def session(account: Account, *commands: bytes) -> Connection:
    """A logged-in connection that has given these commands."""
    connection = Connection(account)
    while not connection.answered():
        pass
    connection.command(f"LOGIN {account.user} {account.password}".encode())
    for command in commands:
        connection.command(command)
    return connection


LOGOUT = b"LOGOUT"


def closed_loop(
    account: Account, loads: Sequence[Iterator[bytes]], seconds: float, opening: Sequence[bytes] = (b"SELECT INBOX",)
) -> float:
    """Commands a second.  Each load is a connection, which begins with LOGIN and `opening`, and anew after LOGOUT."""
    poll = select.epoll()
    connections: dict[int, tuple[Connection, Iterator[bytes], Iterator[bytes]]] = {}
    login = f"LOGIN {account.user} {account.password}".encode()

    def begin(load: Iterator[bytes]) -> None:
        connection = Connection(account)
        connections[connection.socket.fileno()] = connection, load, chain((login, *opening), load)
        poll.register(connection.socket, select.EPOLLIN)

    for load in loads:
        begin(load)
    done, start = 0, time.monotonic()
    while time.monotonic() < start + seconds:
        for descriptor, _ in poll.poll(TIMEOUT):
            connection, load, commands = connections[descriptor]
            if not connection.answered():
                continue
            done += connection.asked > 0
            if connection.last is LOGOUT:
                poll.unregister(descriptor)
                connection.close()
                del connections[descriptor]
                begin(load)
            else:
                connection.send(next(commands))
    elapsed = time.monotonic() - start
    for connection, _, _ in connections.values():
        connection.close()
    poll.close()
    return done / elapsed


def append(message: bytes) -> bytes:
    """The command that appends a message (with CRLF line ends)."""
    return b"APPEND INBOX {%d+}\r\n%b" % (len(message), message)


def mix(seed: int, message: bytes, last: bytes) -> Iterator[bytes]:
    """The mix of commands: a message is deleted as often as one is appended; `last` is LOGOUT or NOOP."""
    chance = random.Random(seed)
    appended = append(message)
    while True:
        what, number = chance.random(), chance.randint(1, 1500)
        if what < 0.10:
            yield b"SELECT INBOX"
        elif what < 0.30:
            yield b"FETCH %d (FLAGS ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT REFERENCES)])" % number
        elif what < 0.50:
            yield b"FETCH %d (BODY.PEEK[])" % number
        elif what < 0.70:
            flag = b"Deleted" if chance.random() < 0.4 else chance.choice((b"Seen", b"Flagged", b"Answered"))
            yield b"STORE %d %bFLAGS (\\%b)" % (number, b"+" if chance.random() < 0.7 else b"-", flag)
        elif what < 0.78:
            yield appended
        elif what < 0.84:
            yield b"EXPUNGE"
        elif what < 0.90:
            yield b'LIST "" "*"'
        elif what < 0.95:
            yield b"STATUS INBOX (MESSAGES UNSEEN)"
        else:
            yield last


def fetches(seed: int) -> Iterator[bytes]:
    """FETCH alone, on 500 messages."""
    chance = random.Random(seed)
    while True:
        number, kind = chance.randint(1, 500), chance.random()
        if kind < 0.4:
            yield b"FETCH %d (UID FLAGS RFC822.SIZE ENVELOPE)" % number
        elif kind < 0.6:
            yield b"FETCH %d (BODY.PEEK[HEADER.FIELDS (SUBJECT FROM TO DATE)])" % number
        elif kind < 0.8:
            yield b"FETCH %d (BODY.PEEK[])" % number
        else:
            yield b"FETCH %d (BODYSTRUCTURE)" % number


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start
