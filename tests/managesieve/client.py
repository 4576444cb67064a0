"""A ManageSieve client that says what it is told to, and takes answers apart."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType

_STATUS = re.compile(rb'(OK|NO|BYE)(?: \(([A-Z/-]+)(?: ("[^\r\n]*"|\{\d+\}\r\n.*))?\))?(?: .*)?\r\n\Z', re.DOTALL)
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to one command."""

    condition: str
    code: str
    argument: bytes
    lines: tuple[bytes, ...]
    """What came before the last line."""
    text: bytes
    """The last line."""


class Client:
    """Use as a context manager; `greeting` is the first answer."""

    def __init__(self, host: str, port: int) -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout=20)
        self._received = b""
        self.greeting = self.answer()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes) -> Answer:
        """Send a command line, and give what is said to it."""
        self.say(data + b"\r\n")
        return self.answer()

    def put(self, name: str, script: bytes) -> Answer:
        return self.ask(b'PUTSCRIPT "%b" {%d+}\r\n%b' % (name.encode(), len(script), script))

    def line(self) -> bytes:
        """A line with its literals."""
        line = self._until_newline()
        while found := _LITERAL.search(line):
            line += self._take(int(found[1])) + self._until_newline()
        return line

    def answer(self) -> Answer:
        lines: list[bytes] = []
        while not (found := _STATUS.match(line := self.line())):
            lines.append(line)
        argument = (found[3] or b"").partition(b"\r\n")[2] if (found[3] or b"").startswith(b"{") else found[3] or b""
        return Answer(found[1].decode(), (found[2] or b"").decode(), argument.strip(b'"'), tuple(lines), line)

    def capabilities(self) -> dict[str, str]:
        return as_capabilities(self.ask(b"CAPABILITY"))

    def start_tls(self, context: ssl.SSLContext) -> Answer:
        assert self.ask(b"STARTTLS").condition == "OK"
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return self.answer()

    def at_end(self) -> bool:
        """Whether the server has nothing more to say and has closed."""
        return not self._received and not self.socket.recv(1)

    def _until_newline(self) -> bytes:
        while b"\n" not in self._received:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"the server closed behind {self._received!r}")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line + b"\n"

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError("the server closed in a literal")
            self._received += piece
        data, self._received = self._received[:count], self._received[count:]
        return data


def as_capabilities(answer: Answer) -> dict[str, str]:
    """Capabilities by name."""
    found = {}
    for line in answer.lines:
        name, _, value = line.decode().strip().partition(" ")
        found[name.strip('"').upper()] = value.strip('"')
    return found
