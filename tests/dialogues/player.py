"""Plays a scenario over a real connection, and says at which line it went another way."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable

from tests.dialogues.script import Script, Step, unescaped
from tests.e2e.wire import BOB, trusting
from tests.lab.instance import Instance

_TIMEOUT = 30.0
_PIECE = 65536
_REPLY_LINE = re.compile(rb"\d{3}[ -].*\r\n")


class Player:
    """One playing of one script.  `bytewise` sends each octet in a write of its own."""

    def __init__(self, mail: Instance, port: int, script: Script, *, bytewise: bool) -> None:
        self._mail, self._script, self._bytewise = mail, script, bytewise
        self._log = len(mail.log_lines())
        self._delivered = len(mail.mailbox(BOB))
        self._socket: socket.socket = socket.create_connection((mail.address, port), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if script.service == "submissions":
            self._socket = trusting(mail).wrap_socket(self._socket)
        self._input = b""
        self._output = b""
        self._reply: list[str] = []
        self._closed = False
        self._step: Step | None = None

    def play(self) -> None:
        """Raises AssertionError with the script's line."""
        with contextlib.closing(self._socket):
            for step in self._script.steps:
                self._step = step
                _ACTIONS[step.kind](self, step)
            self._step = None
            self._send()
            if not self._closed and self._script.probe != "no":
                self._probe()
        wanted = [step for step in self._script.steps if step.kind in ("D", "D-")]
        for step in wanted:
            self._step = step
            self._delivery(step)

    def _fail(self, problem: str) -> AssertionError:
        place = f"line {self._step.line}" if self._step is not None else "the end"
        return AssertionError(f"{self._script.name}: {self._script.promise}\n{place}: {problem}")

    # --- the client's side
    def _say(self, step: Step) -> None:
        self._output += step.octets

    def _send(self) -> None:
        data, self._output = self._output, b""
        pieces = [bytes((octet,)) for octet in data] if self._bytewise else [data]
        # A server that has had enough may have closed already; what it said is still to be read.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                if piece:
                    self._socket.sendall(piece)

    def _act(self, step: Step) -> None:
        self._send()
        if step.text == "starttls":
            self._socket = trusting(self._mail).wrap_socket(self._socket)
        elif step.text == "half-close":
            self._socket.shutdown(socket.SHUT_WR)
        elif step.text == "trickle":
            self._trickle()
        elif step.text == "ended":
            while self._fill():
                pass
            self._closed = True
        else:
            raise self._fail(f"unknown action {step.text!r}")

    def _trickle(self) -> None:
        """One octet of content every tenth of a second, until the server has had enough."""
        end = time.monotonic() + _TIMEOUT
        self._socket.settimeout(0.1)
        while time.monotonic() < end and not self._input:
            with contextlib.suppress(ConnectionError):
                self._socket.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                self._fill()
        self._socket.settimeout(_TIMEOUT)

    # --- the server's side
    def _fill(self) -> bool:
        try:
            data = self._socket.recv(_PIECE)
        except ConnectionError:
            data = b""
        except TimeoutError:
            if self._socket.gettimeout() != _TIMEOUT:
                raise
            raise self._fail(f"nothing came for {_TIMEOUT:g} s; before that: {self._reply}, {self._input!r}") from None
        self._input += data
        return bool(data)

    def _line(self) -> bytes:
        while b"\n" not in self._input:
            if not self._fill():
                self._closed = True
                raise self._fail(f"the connection was closed; rest: {self._input!r}, reply before: {self._reply}")
        line, _, self._input = self._input.partition(b"\n")
        return line + b"\n"

    def _expect(self, step: Step) -> None:
        self._send()
        if step.text == "closed":
            while self._fill():
                pass
            self._closed = True
            if self._input:
                raise self._fail(f"before the end it said {self._input!r}")
            return
        for _ in range(step.count):
            self._reply = self._read_reply()
            if not matches(self._reply[-1], step.text):
                raise self._fail(f"expected {step.text!r}, got {self._reply}")

    def _read_reply(self) -> list[str]:
        lines: list[str] = []
        while True:
            line = self._line()
            if not _REPLY_LINE.fullmatch(line) or len(line) > 512:
                raise self._fail(f"{line!r} is no line of a reply (RFC 5321 section 4.2)")
            lines.append(line[:-2].decode("utf-8"))
            if lines[0][:3] != lines[-1][:3]:
                raise self._fail(f"the codes of one reply differ: {lines}")
            if line[3:4] == b" ":
                return lines

    def _has_line(self, step: Step) -> None:
        if not any(matches(line[4:], step.text) for line in self._reply):
            raise self._fail(f"no line {step.text!r} in {self._reply}")

    def _has_not(self, step: Step) -> None:
        if any(step.text in line[4:] for line in self._reply):
            raise self._fail(f"there is {step.text!r} in {self._reply}")

    def _logged(self, step: Step) -> None:
        self._send()

        def seen() -> bool:
            return any(matches(line, f"...{step.text}...") for line in self._mail.log_lines()[self._log :])

        if not _becomes(seen):
            raise self._fail(f"no log line with {step.text!r} in\n" + "\n".join(self._mail.log_lines()[self._log :]))

    def _later(self, step: Step) -> None:
        """What was delivered is looked at when the session is over."""

    # --- afterwards
    def _ask(self, command: str, code: str) -> None:
        self._output += command.encode() + b"\r\n"
        self._send()
        self._reply = self._read_reply()
        if self._reply[-1][:3] != code:
            raise self._fail(f"afterwards {command.splitlines()[-1]!r} got {self._reply}")

    def _probe(self) -> None:
        """The session must be as good as new."""
        self._ask("RSET", "250")
        if self._script.probe == "message":
            token = f"probe-{id(self)}-{time.monotonic_ns()}"
            self._ask("LHLO probe.example" if self._script.service == "lmtp" else "EHLO probe.example", "250")
            self._ask("MAIL FROM:<probe@client.example>", "250")
            self._ask("RCPT TO:<bob@example.org>", "250")
            self._ask("DATA", "354")
            self._ask(f"Subject: probe\r\n\r\n{token}\r\n.", "250")
            arrived = self._wait_for(token)
            if not arrived.endswith(f"\n\n{token}\n".encode()) or b"\nReturn-Path: <probe@client.example>\n" not in (
                b"\n" + arrived
            ):
                raise self._fail(f"the message afterwards arrived as {arrived!r}")
        else:
            self._ask("NOOP", "250")
        self._ask("QUIT", "221")

    def _new(self) -> list[bytes]:
        return self._mail.mailbox(BOB)[self._delivered :]

    def _wait_for(self, text: str | bytes) -> bytes:
        wanted = text.encode() if isinstance(text, str) else text
        found: list[bytes] = []

        def here() -> bool:
            found[:] = [message for message in self._new() if wanted in message]
            return bool(found)

        if not _becomes(here):
            raise self._fail(f"no message with {text!r} was delivered")
        return found[0]

    def _delivery(self, step: Step) -> None:
        text = unescaped(step.text)
        if step.kind == "D":
            self._wait_for(text)
            return
        if not _becomes(lambda: not (set(self._mail.queue_ids()) - self._mail.held_ids())):
            raise self._fail("the queue does not become empty")
        if any(text in message for message in self._new()):
            raise self._fail(f"a message with {step.text!r} was delivered")


_ACTIONS: dict[str, Callable[[Player, Step], None]] = {
    "C": Player._say,
    "R": Player._say,
    "B": Player._say,
    "B+": Player._say,
    "S": Player._expect,
    "S+": Player._has_line,
    "S-": Player._has_not,
    "X": Player._act,
    "L": Player._logged,
    "D": Player._later,
    "D-": Player._later,
}


def matches(text: str, pattern: str) -> bool:
    """Whether a text is as the pattern says; `...` stands for anything."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("...")), text) is not None


def _becomes(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + _TIMEOUT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
