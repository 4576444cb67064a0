"""SMTP and LMTP servers that do what a test tells them: accept and store, refuse, drop, dawdle, break TLS.

    with SmtpSink() as sink:                         # accepts everything; sink.messages has it
        sink.replies["rcpt"] = "450 4.2.1 later"     # from now on, for every recipient
        sink.replies["rcpt"] = {"a@x.org": "550 5.1.1 no"}   # for this one; others are accepted
        sink.replies["content"] = DROP               # close the connection instead of answering

A phase is "connect", a verb in lower case ("ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "bdat",
"rset", "quit", "noop"...), or "content" (after the final dot or last chunk). A reply is a text (without the line
end; several lines with "\\n"), DROP, RESET, HANG, ENDLESS, ENDLESS_LINE, GARBAGE, or a function from the command's
argument to one of these. Whole ways to misbehave have names: `tests.lab.misbehaviour`.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from tests.lab.certificates import Certificate
from tests.lab.ports import LOOPBACK, free_port

DROP = "<drop>"  # close the connection
RESET = "<reset>"  # close it with a TCP reset
HANG = "<hang>"  # never answer, keep the connection open until the sink stops
ENDLESS = "<endless>"  # a reply that has no last line, until the client goes away
ENDLESS_LINE = "<endless line>"  # a line that has no end
GARBAGE = "<garbage>"  # octets that are no reply

Reply = str | Mapping[str, str] | Callable[[str], str]

CAPABILITIES = ("PIPELINING", "SIZE 52428800", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING")

_RUBBISH = bytes(range(128, 256)) + b"\0\r\n"
_ENDLESS_PIECE = 4096  # octets at a time of what has no end

# What a lie about an extension refuses: parameters of MAIL and RCPT that begin so.
_REFUSED = {
    "SIZE": ("SIZE=",),
    "8BITMIME": ("BODY=",),
    "SMTPUTF8": ("SMTPUTF8",),
    "DSN": ("RET=", "ENVID=", "NOTIFY=", "ORCPT="),
}

_LOOK = 0.05  # seconds between looks whether to stop
_PATH = re.compile(r"(?:FROM|TO):\s*<?([^>\s]*)>?\s*(.*)", re.IGNORECASE)


@dataclass(slots=True)
class Message:
    """One message as it was taken: envelope with parameters, and the content with CRLF line ends, dots unstuffed."""

    sender: str
    sender_parameters: str = ""
    recipients: list[str] = field(default_factory=list)
    recipient_parameters: list[str] = field(default_factory=list)
    content: bytes = b""
    helo: str = ""
    tls: str = ""  # the protocol, as "TLSv1.3"
    user: str = ""
    session: int = 0  # which session brought it


class _Gone(Exception):
    """This connection is over."""


class SmtpSink:
    """The server; a context manager, or `start()` and `stop()`."""

    def __init__(
        self,
        *,
        address: str = LOOPBACK,
        port: int = 0,
        hostname: str = "sink.test",
        capabilities: Sequence[str] = CAPABILITIES,
        certificate: Certificate | None = None,
        wrapped: bool = False,
        broken_tls: bool = False,
        tls: str = "",
        hidden: Sequence[str] = (),
        lies: Sequence[str] = (),
        pace: float = 0,
        messages_per_session: int | None = None,
        recipients_per_message: int | None = None,
        eager: bool = False,
        users: Mapping[str, str] | None = None,
        lmtp: bool = False,
        delay: float = 0,
        drop_after: int | None = None,
    ) -> None:
        """`certificate` offers STARTTLS (or TLS from the first byte, when `wrapped`); `broken_tls` answers the TLS
        handshake with plain text; `users` offers AUTH PLAIN; `delay` seconds pass before every reply; `drop_after`
        content bytes the connection is closed.

        `tls` breaks the handshake: "garbage" (what `broken_tls` does), "stall", "close" (behind the 220), "cut"
        (behind the ClientHello), "injected" (a reply in clear text behind the 220).  `hidden` capabilities are not
        announced but work, `lies` are announced but refused.  `pace` is the seconds between two octets of a reply.  The
        connection ends after `messages_per_session`; recipients beyond `recipients_per_message` get 452; an `eager`
        server says 354 without a recipient.
        """
        self.address, self.port = address, port or free_port(address)
        self.hostname, self.capabilities = hostname, tuple(capabilities)
        self.certificate, self.wrapped = certificate, wrapped
        self.tls = "garbage" if broken_tls else tls
        self.hidden, self.lies, self.pace, self.eager = frozenset(hidden), frozenset(lies), pace, eager
        self.messages_per_session, self.recipients_per_message = messages_per_session, recipients_per_message
        self.users = dict(users or {})
        self.lmtp, self.delay, self.drop_after = lmtp, delay, drop_after
        self.replies: dict[str, Reply] = {}
        self.messages: list[Message] = []
        self.sessions: list[list[str]] = []  # the command lines of each session, TLS handshakes as "<TLS>"
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> SmtpSink:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def nexthop(self) -> str:
        """`[address]:port`, as transport tables want it."""
        return f"[{self.address}]:{self.port}"

    def start(self) -> None:
        """Listen. Raises OSError."""
        self._stopping.clear()
        listener = socket.create_server((self.address, self.port), backlog=128)
        listener.settimeout(_LOOK)
        self._listener = listener
        thread = threading.Thread(target=self._accept, args=(listener,), name="lab-sink", daemon=True)
        thread.start()
        self._threads = [thread]

    def stop(self) -> None:
        """Close everything: from now on connections are refused."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for thread in self._threads:
            thread.join()
        self._threads = []

    def received(self, recipient: str) -> list[Message]:
        """The messages that were taken for a recipient."""
        return [message for message in list(self.messages) if recipient in message.recipients]

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.sessions.append([])
            session = _Session(self, connection, len(self.sessions) - 1, self._stopping)
            thread = threading.Thread(target=session.run, name="lab-sink-session", daemon=True)
            self._threads.append(thread)
            thread.start()


class _Session:
    def __init__(self, sink: SmtpSink, connection: socket.socket, number: int, stopping: threading.Event) -> None:
        self._sink, self._connection, self._number, self._stopping = sink, connection, number, stopping
        self._transcript = sink.sessions[number]
        self._buffer = bytearray()
        self._helo = self._tls = self._user = ""
        self._message: Message | None = None
        self._taken = 0
        connection.settimeout(_LOOK)

    def run(self) -> None:
        try:
            with contextlib.suppress(_Gone, OSError):
                if self._sink.wrapped:
                    self._start_tls()
                self._answer("connect", "", f"220 {self._sink.hostname} {'LMTP' if self._sink.lmtp else 'ESMTP'} sink")
                while True:
                    self._command(self._line().decode("utf-8", "surrogateescape"))
        finally:
            self._connection.close()

    # Bytes

    def _fill(self) -> None:
        while not self._stopping.is_set():
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                continue
            if not data:
                break
            self._buffer += data
            return
        raise _Gone

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _send(self, text: str) -> None:
        if self._sink.delay and self._stopping.wait(self._sink.delay):
            raise _Gone
        lines = text.split("\n")
        code = lines[0][:3]
        rendered = [line if re.match(r"\d{3}[ -]", line) else f"{code} {line}" for line in lines]
        wire = [f"{line[:3]}-{line[4:]}" for line in rendered[:-1]] + [rendered[-1]]
        data = "".join(f"{line}\r\n" for line in wire).encode("utf-8", "surrogateescape")
        if not self._sink.pace:
            self._connection.sendall(data)
            return
        for place in range(len(data)):
            self._connection.sendall(data[place : place + 1])
            if self._stopping.wait(self._sink.pace):
                raise _Gone

    def _repeat(self, data: bytes) -> None:
        """Send the same for ever."""
        piece = data * (_ENDLESS_PIECE // len(data))
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._connection.send(piece)
        raise _Gone

    def _answer(self, phase: str, argument: str, default: str) -> bool:
        """Give the reply that is set for this phase; whether it was a positive one (2yz, 3yz)."""
        reply: Reply = self._sink.replies.get(phase, default)
        if callable(reply):
            reply = reply(argument) or default
        elif isinstance(reply, Mapping):
            reply = reply.get(argument, default)
        if reply == HANG:
            self._stopping.wait()
            raise _Gone
        if reply == RESET:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply in (DROP, RESET):
            raise _Gone
        if reply == ENDLESS:
            self._repeat(b"250-and so on\r\n")
        if reply == ENDLESS_LINE:
            self._connection.sendall(b"220 ")
            self._repeat(b"and so on ")
        if reply == GARBAGE:
            self._connection.sendall(_RUBBISH)
            return False
        self._send(reply)
        if reply.startswith("421"):
            raise _Gone
        return reply[:1] in "23"

    # Commands

    def _command(self, line: str) -> None:
        line = line.rstrip("\r\n")
        self._transcript.append(line)
        verb, _, argument = line.partition(" ")
        handler = getattr(self, f"_do_{verb.lower()}", None)
        if handler is None:
            self._answer(verb.lower(), argument, "500 5.5.2 command unknown")
        else:
            handler(argument)
        if "PIPELINING" in self._sink.lies:
            self._buffer.clear()

    def _refuses(self, parameters: str) -> bool:
        """Refuse parameters of extensions that were a lie."""
        for keyword in self._sink.lies:
            for begin in _REFUSED.get(keyword, ()):
                if any(each.upper().startswith(begin) for each in parameters.split()):
                    self._send(f"555 5.5.4 {begin.strip('=')} is not supported")
                    return True
        return False

    def _do_ehlo(self, argument: str) -> None:
        self._helo, self._message = argument, None
        offered = list(self._sink.capabilities)
        if (self._sink.certificate or self._sink.tls) and not self._tls:
            offered.append("STARTTLS")
        if self._sink.users:
            offered.append("AUTH PLAIN")
        offered = [each for each in offered if each.split()[0] not in self._sink.hidden]
        lines = [f"250 {self._sink.hostname}", *(f"250 {each}" for each in offered)]
        self._answer("ehlo", argument, "\n".join(lines))

    def _do_lhlo(self, argument: str) -> None:
        self._do_ehlo(argument)

    def _do_helo(self, argument: str) -> None:
        self._helo, self._message = argument, None
        self._answer("helo", argument, f"250 {self._sink.hostname}")

    def _do_starttls(self, argument: str) -> None:
        if self._answer("starttls", argument, "220 2.0.0 ready"):
            self._start_tls()

    def _start_tls(self) -> None:
        self._transcript.append("<TLS>")
        match self._sink.tls:
            case "garbage":
                self._fill()  # a client that reads ahead must not take it for a reply
                self._connection.sendall(b"this is no TLS handshake\r\n")
                raise _Gone
            case "stall":
                self._stopping.wait()
                raise _Gone
            case "cut":
                self._fill()
                raise _Gone
            case "close":
                raise _Gone
            case "injected":
                self._connection.sendall(b"250 2.0.0 injected\r\n")
        if self._sink.certificate is None:
            raise _Gone
        self._connection.settimeout(10)
        wrapped = self._sink.certificate.server_context.wrap_socket(self._connection, server_side=True)
        wrapped.settimeout(_LOOK)
        self._connection, self._buffer = wrapped, bytearray()
        self._tls = wrapped.version() or ""
        self._helo = ""

    def _do_auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() != "PLAIN":
            self._send("504 5.5.4 mechanism unknown")
            return
        if not initial:
            self._send("334 ")
            initial = self._line().decode("ascii", "replace").strip()
        parts = base64.b64decode(initial).decode("utf-8", "replace").split("\0")
        good = len(parts) == 3 and self._sink.users.get(parts[1]) == parts[2]
        if self._answer("auth", argument, "235 2.7.0 welcome" if good else "535 5.7.8 credentials invalid"):
            self._user = parts[1]

    def _do_mail(self, argument: str) -> None:
        address, parameters = _path(argument)
        if self._refuses(parameters):
            return
        if self._answer("mail", address, "250 2.1.0 ok"):
            self._message = Message(
                address, parameters, helo=self._helo, tls=self._tls, user=self._user, session=self._number
            )

    def _do_rcpt(self, argument: str) -> None:
        address, parameters = _path(argument)
        if self._message is None:
            self._send("503 5.5.1 MAIL first")
        elif self._refuses(parameters):
            pass
        elif len(self._message.recipients) == self._sink.recipients_per_message:
            self._send("452 4.5.3 too many recipients")
        elif self._answer("rcpt", address, "250 2.1.5 ok"):
            self._message.recipients.append(address)
            self._message.recipient_parameters.append(parameters)

    def _do_data(self, argument: str) -> None:
        if self._message is None or not (self._message.recipients or self._sink.eager):
            self._send("554 5.5.1 no valid recipients")
        elif self._answer("data", argument, "354 go ahead"):
            lines: list[bytes] = []
            size = 0
            while (line := self._line()) not in (b".\r\n", b".\n"):
                lines.append(line[1:] if line.startswith(b".") else line)
                size += len(line)
                self._limit(size)
            self._message.content = b"".join(lines)
            self._take()

    def _do_bdat(self, argument: str) -> None:
        if "CHUNKING" in self._sink.lies:
            self._send("502 5.5.1 BDAT is not implemented")
            return
        size, _, last = argument.partition(" ")
        while len(self._buffer) < int(size):
            self._limit(len(self._buffer))
            self._fill()
        chunk = bytes(self._buffer[: int(size)])
        del self._buffer[: int(size)]
        if self._message is None:
            self._send("503 5.5.1 MAIL first")
            return
        self._message.content += chunk
        self._limit(len(self._message.content))
        if last:
            self._take()
        elif not self._answer("bdat", argument, f"250 2.0.0 {size} octets"):
            self._message = None

    def _limit(self, size: int) -> None:
        if self._sink.drop_after is not None and size > self._sink.drop_after:
            raise _Gone

    def _take(self) -> None:
        message, self._message = self._message, None
        assert message is not None
        if not message.recipients:
            self._send("554 5.5.1 no valid recipients")
            return
        self._taken += 1
        default = f"250 2.0.0 ok taken {len(self._sink.messages) + 1}"
        if not self._sink.lmtp:
            # Stored before the reply, as a real server does: a lost reply must show up as a duplicate.
            self._store(message, message.recipients)
            if not self._answer("content", message.sender, default):
                self._sink.messages.remove(message)
            if self._taken == self._sink.messages_per_session:
                raise _Gone
            return
        taken = [each for each in message.recipients if self._answer("content", each, default)]
        if taken:
            self._store(message, taken)

    def _store(self, message: Message, recipients: list[str]) -> None:
        message.recipients = recipients
        self._sink.messages.append(message)

    def _do_rset(self, argument: str) -> None:
        self._message = None
        self._answer("rset", argument, "250 2.0.0 ok")

    def _do_noop(self, argument: str) -> None:
        self._answer("noop", argument, "250 2.0.0 ok")

    def _do_quit(self, argument: str) -> None:
        self._answer("quit", argument, "221 2.0.0 bye")
        with contextlib.suppress(OSError):
            if isinstance(self._connection, ssl.SSLSocket):
                self._connection.unwrap()
        raise _Gone


def _path(argument: str) -> tuple[str, str]:
    match = _PATH.match(argument)
    return (match[1], match[2]) if match else (argument, "")
