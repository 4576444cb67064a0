"""A mail server for tests that says what it is told to, misbehaves where it is told to, and remembers what it heard.

`script` maps a moment ("greeting", a verb, "content") to what happens then: a reply, `DROP`, `HANG`, or a function of
(number of this moment on this connection, argument) that gives one of these.  What is not in it succeeds.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

DROP = "<drop>"
HANG = "<hang>"

Action = str | Callable[[int, str], str]

DEFAULTS: dict[str, str] = {
    "greeting": "220 mx.test ESMTP",
    "EHLO": "250-mx.test\n250-PIPELINING\n250-SIZE 1000000\n250-8BITMIME\n250-DSN\n250 SMTPUTF8",
    "LHLO": "250-mx.test\n250 PIPELINING",
    "HELO": "250 mx.test",
    "STARTTLS": "220 2.0.0 go ahead",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go ahead",
    "content": "250 2.0.0 Ok: queued",
    "RSET": "250 2.0.0 Ok",
    "XFORWARD": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class Heard:
    """One connection."""

    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    encrypted: bool = False
    peer: str = ""
    """The client's address."""


class _End(Exception):
    pass


class FakeServer:
    """Serves each connection on a thread."""

    def __init__(
        self,
        listener: socket.socket,
        script: Mapping[str, Action],
        *,
        lmtp: bool = False,
        context: ssl.SSLContext | None = None,
        wrapped: bool = False,
    ) -> None:
        self.listener = listener
        self.script = dict(script)
        self.lmtp = lmtp
        self.context = context
        self.wrapped = wrapped
        self.heard: list[Heard] = []
        self.released = threading.Event()
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def nexthop(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    @property
    def messages(self) -> list[bytes]:
        return [message for heard in self.heard for message in heard.messages]

    @property
    def commands(self) -> list[str]:
        return [command for heard in self.heard for command in heard.commands]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.listener.accept()
                if connection.family != socket.AF_UNIX:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                heard = Heard(peer=peer[0] if peer else "")
                self.heard.append(heard)
                threading.Thread(target=self._serve, args=(connection, heard), daemon=True).start()

    def _serve(self, connection: socket.socket, heard: Heard) -> None:
        counts: Counter[str] = Counter()
        with contextlib.suppress(_End, OSError, ssl.SSLError), connection:
            if self.wrapped and self.context is not None:
                with self.context.wrap_socket(connection, server_side=True) as inside:
                    heard.encrypted = True
                    self._talk(inside, heard, counts)
            else:
                self._talk(connection, heard, counts)
        self.ended.set()

    def _talk(self, connection: socket.socket, heard: Heard, counts: Counter[str]) -> None:
        stream: BinaryIO = connection.makefile("rb")
        accepted = 0

        def act(moment: str, argument: str = "") -> str:
            counts[moment] += 1
            action = self.script.get(moment, DEFAULTS.get(moment, "502 5.5.1 what?"))
            if callable(action):
                action = action(counts[moment], argument)
            if action == HANG:
                self.released.wait(30)
                raise _End
            if action == DROP:
                raise _End
            if action:
                connection.sendall(action.replace("\n", "\r\n").encode("latin-1") + b"\r\n")
                if action.rpartition("\n")[2].startswith("421"):
                    raise _End
            return action

        act("greeting")
        while line := stream.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            heard.commands.append(command)
            verb, _, argument = command.partition(" ")
            verb = verb.upper()
            reply = "" if verb == "BDAT" else act(verb, argument)
            if verb == "STARTTLS" and reply.startswith("220") and self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rb")
                heard.encrypted = True
            elif verb == "AUTH":
                while reply.startswith("334") and (line := stream.readline()):
                    heard.commands.append(line.decode().rstrip("\r\n"))
                    reply = act("AUTH", heard.commands[-1])
            elif verb == "MAIL":
                accepted = 0
            elif verb == "RCPT" and reply.startswith("2"):
                accepted += 1
            elif verb == "DATA" and reply.startswith("3"):
                heard.messages.append(self._content(stream))
                for _ in range(accepted if self.lmtp else 1):
                    act("content")
            elif verb == "BDAT":
                size, _, last = argument.partition(" ")
                heard.messages.append(stream.read(int(size)))
                assert last == "LAST", "the client sends one chunk"
                for _ in range(accepted if self.lmtp else 1):
                    act("content")
            elif verb == "QUIT":
                raise _End

    def _content(self, stream: BinaryIO) -> bytes:
        if self.script.get("body") == DROP:
            stream.readline()
            raise _End
        if self.script.get("body") == HANG:
            self.released.wait(30)
            raise _End
        lines = []
        while (line := stream.readline()) != b".\r\n":
            if not line:
                raise _End
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextlib.contextmanager
def fake_server(
    script: Mapping[str, Action] = {},
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    path: str = "",
    lmtp: bool = False,
    context: ssl.SSLContext | None = None,
    wrapped: bool = False,
) -> Iterator[FakeServer]:
    """A running server on TCP or, with `path`, on a UNIX socket."""
    if path:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(20)
    else:
        listener = socket.create_server((address, port), backlog=100)
    server = FakeServer(listener, script, lmtp=lmtp, context=context, wrapped=wrapped)
    try:
        yield server
    finally:
        server.close()


def unused_port() -> int:
    """A TCP port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
