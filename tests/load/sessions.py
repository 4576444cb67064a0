"""Clients that hold sessions open, and what the suite's programs need for them."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.wire import BOB, trusting
from tests.lab.instance import Instance
from tests.lab.processes import tree

_TIMEOUT = 60.0
_PRIVATE = re.compile(r"Private_\w+:\s+(\d+) kB")
_LINE = b"The quick brown fox jumps over the lazy dog, 70 octets of it, again.\r\n"


def private_memory(mail: Instance, program: str) -> dict[int, int]:
    """For each process of a program the bytes that it shares with no other."""
    found = {}
    for process in tree(mail.master_pid()):
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{process.pid}/cmdline").read_text().rstrip("\0")
            if title.partition(": ")[2].split(" ")[0] == program:
                numbers = _PRIVATE.findall(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
                found[process.pid] = 1024 * sum(int(number) for number in numbers)
    return found


def at_rest(mail: Instance, program: str) -> int:
    """The private memory of all processes of a program, once it has stopped moving."""
    before = -1
    while True:
        now = sum(private_memory(mail, program).values())
        if abs(now - before) < 64 * 1024:
            return now
        before = now
        time.sleep(0.3)


def ask(client: socket.socket, command: bytes) -> bytes:
    """Send a command line (none where it is empty) and return the whole reply."""
    if command:
        client.sendall(command + b"\r\n")
    said = b""
    while not re.search(rb"(?m)^\d{3} .*\r\n\Z", said):
        piece = client.recv(65536)
        if not piece:
            raise AssertionError(f"{command!r} got {said!r} and the end of the connection")
        said += piece
    return said


def connect(mail: Instance, *, tls: bool = False, source: str = "") -> socket.socket:
    """A session behind EHLO."""
    address = (source, 0) if source else None
    client: socket.socket = socket.create_connection((mail.address, mail.port("smtp")), _TIMEOUT, address)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    greeting = ask(client, b"")
    if not greeting.startswith(b"220 "):
        raise AssertionError(f"turned away: {greeting!r}")
    ask(client, b"EHLO client.example")
    if tls:
        ask(client, b"STARTTLS")
        client = trusting(mail).wrap_socket(client)
        ask(client, b"EHLO client.example")
    return client


@contextlib.contextmanager
def idle(mail: Instance, count: int, *, tls: bool = False, sources: int = 1) -> Iterator[list[socket.socket]]:
    """So many sessions that say nothing more, from `sources` addresses of 127.0.1.x."""
    with contextlib.ExitStack() as all_of_them:
        clients = []
        for number in range(count):
            source = f"127.0.1.{1 + number % sources}" if sources > 1 else ""
            clients.append(all_of_them.enter_context(connect(mail, tls=tls, source=source)))
        yield clients


def begin_message(client: socket.socket, size: int) -> None:
    """Send that much of a message, and not its end."""
    for command in (b"MAIL FROM:<sender@client.example>", f"RCPT TO:<{BOB}>".encode(), b"DATA"):
        reply = ask(client, command)
        if reply[:1] not in b"23":
            raise AssertionError(f"{command!r} got {reply!r}")
    block = _LINE * 1000
    client.sendall(b"Subject: large\r\n\r\n")
    for _ in range(size // len(block)):
        client.sendall(block)
