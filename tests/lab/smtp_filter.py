"""A small SMTP filter, as an antivirus proxy is one: takes a message, looks at it, hands it in again somewhere else.

It says what the server behind it says; a message with `EICAR-LIKE` in it is refused.  It passes XFORWARD on.
"""

from __future__ import annotations

import smtplib
import socketserver
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.lab.ports import LOOPBACK

VIRUS = b"EICAR-LIKE"
MARK = b"X-Filtered: by the laboratory\r\n"


@dataclass
class _Mail:
    forwarded: list[str] = field(default_factory=list)
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self) -> None:
        mail = _Mail()
        self.say("220 filter.test ESMTP")
        while line := self.rfile.readline():
            text = line.decode().rstrip("\r\n")
            verb, _, rest = text.partition(" ")
            match verb.upper():
                case "EHLO":
                    self.say("250-filter.test\r\n250-8BITMIME\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")
                case "XFORWARD":
                    mail.forwarded.append(text)
                    self.say("250 2.0.0 Ok")
                case "MAIL":
                    mail.sender = rest
                    self.say("250 2.1.0 Ok")
                case "RCPT":
                    mail.recipients.append(rest)
                    self.say("250 2.1.5 Ok")
                case "DATA":
                    self.say("354 go")
                    content = b""
                    while (piece := self.rfile.readline()) != b".\r\n":
                        if not piece:
                            return
                        content += piece
                    self.say(self.decide(mail, content))
                    mail = _Mail()
                case "RSET":
                    mail = _Mail()
                    self.say("250 2.0.0 Ok")
                case "QUIT":
                    self.say("221 2.0.0 Bye")
                    return
                case _:
                    self.say("500 5.5.2 what?")

    def decide(self, mail: _Mail, content: bytes) -> str:
        if VIRUS in content:
            return "550 5.7.1 This message has a virus"
        with smtplib.SMTP(LOOPBACK, self.server.behind, timeout=60) as behind:
            behind.ehlo("filter.test")
            commands = [*mail.forwarded, f"MAIL {mail.sender}", *(f"RCPT {one}" for one in mail.recipients), "DATA"]
            for command in commands:
                code, said = behind.docmd(command)
                if code >= 400:
                    return f"{code} {said.decode()}"
            behind.send(MARK + content + b".\r\n")
            code, said = behind.getreply()
            return f"{code} {said.decode()}"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    behind = 0


class SmtpFilter:
    """A running filter in front of a port of this machine; a context manager."""

    def __init__(self) -> None:
        self._server = _Server((LOOPBACK, 0), _Session)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def hands_to(self, port: int) -> None:
        """Where messages go."""
        self._server.behind = port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
