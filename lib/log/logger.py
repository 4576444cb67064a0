"""The logger: builds a line, passes it through the printable filter, hands it to the destination in one write."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator

LINE_LIMIT = 2048
"""Longest text of one event; what is longer is cut, so that a hostile peer can't fill the log with one line."""

SYSLOG_SOCKET = "/dev/log"
_FACILITY_MAIL = 2 << 3
_SEVERITIES = {"info": 6, "warning": 4, "error": 3, "fatal": 2, "panic": 0}

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUEUE_ID = re.compile(r"([0-9A-Za-z]{10,20}|NOQUEUE): ")
_FIELD = re.compile(r"(?:^|[ ,])([a-z_]+)=(<[^>]*>|[^,]*?)(?=,? [a-z_]+=|, | \(|$)")

Destination = Callable[[bytes], None]
"""Takes one finished line, line feed included."""


def file_destination(descriptor: int) -> Destination:
    """Lines appended to an open file; one write each, so that lines of several processes never mix (O_APPEND)."""

    def write(line: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the mail; the event is lost, the message not
            os.write(descriptor, line)

    return write


def syslog_destination(address: str = SYSLOG_SOCKET) -> Destination:
    """Datagrams to the system's logger (RFC 3164 form as the C library's syslog(3) writes it)."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with contextlib.suppress(OSError):
        channel.connect(address)

    def write(line: bytes) -> None:
        try:
            channel.send(line.rstrip(b"\n"))
        except OSError:
            with contextlib.suppress(OSError):
                channel.connect(address)
                channel.send(line.rstrip(b"\n"))

    return write


class Logger:
    """Writes lines for one process.  `clock` is a seam for tests."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._write: Destination = file_destination(2)
        self._json = False
        self._syslog = False
        self._host = socket.gethostname().partition(".")[0]
        self.program = "pillarbox"
        self._tag = ""
        self._pid = os.getpid()
        self._second = -1
        self._prefix = ""

    def configure(
        self,
        program: str,
        write: Destination | None = None,
        *,
        json_lines: bool = False,
        syslog: bool = False,
        host: str = "",
    ) -> None:
        """Point the logger at its destination.  `program` is the tag before the process id, `pillarbox/smtpd`."""
        self.program = program
        self._write = write or self._write
        self._json, self._syslog = json_lines, syslog
        self._host = host.partition(".")[0] or self._host
        self.renew()

    def renew(self) -> None:
        """After a fork: take the new process id into the tag."""
        self._pid = os.getpid()
        self._tag = f"{self.program}[{self._pid}]: "
        self._second = -1

    def set_program(self, program: str) -> None:
        """Change the tag, keep the destination."""
        self.program = program
        self.renew()

    def info(self, text: str) -> None:
        """An event of normal work."""
        self._line("info", text)

    def warning(self, text: str) -> None:
        """Something the administrator may want to look at."""
        self._line("warning", text)

    def error(self, text: str) -> None:
        """Something did not work and will be tried again."""
        self._line("error", text)

    def fatal(self, text: str) -> None:
        """The process gives up; the master starts another."""
        self._line("fatal", text)

    def panic(self, text: str) -> None:
        """A fault of the program itself."""
        self._line("panic", text)

    def send_lines(self, write: Destination) -> None:
        """Hand finished lines to `write` from now on."""
        self._write = write

    def send_texts(self, write: Callable[[str], None]) -> None:
        """Hand texts without stamp and tag to `write` from now on: a child that holds no log gives them to its parent,
        which relays them."""
        marker = "\x00"
        self._write = lambda line: write(line.decode("utf-8", "replace").partition(marker)[2].rstrip("\n"))
        self._tag, self._json, self._syslog, self._second = marker, False, False, -1

    def relay(self, text: str, pid: int) -> None:
        """Write a text of a child: it is one line of that process, whatever the child says."""
        tag, self._tag, self._pid, self._second = self._tag, f"{self.program}[{pid}]: ", pid, -1
        try:
            self._line("info", text)
        finally:
            self._tag, self._pid, self._second = tag, os.getpid(), -1

    def _line(self, level: str, text: str) -> None:
        if not text.isprintable():
            text = _UNPRINTABLE.sub("?", text)
        if len(text) > LINE_LIMIT:
            text = text[:LINE_LIMIT] + "..."
        if self._json:
            line = self._json_line(level, text)
        else:
            if level != "info":
                text = f"{level}: {text}"
            now = int(self._clock())
            if now != self._second:
                self._second = now
                stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now))
                self._prefix = f"{stamp} {self._host} {self._tag}" if not self._syslog else f"{stamp} {self._tag}"
            line = f"{self._prefix}{text}\n"
        if self._syslog:
            line = f"<{_FACILITY_MAIL | _SEVERITIES[level]}>{line}"
        self._write(line.encode("utf-8", "replace"))

    def _json_line(self, level: str, text: str) -> str:
        record: dict[str, object] = {
            "time": round(self._clock(), 6),
            "host": self._host,
            "program": self.program,
            "pid": self._pid,
            "level": level,
        }
        if match := _QUEUE_ID.match(text):
            record["queue_id"] = match[1]
            text = text[match.end() :]
        record["message"] = text
        for key, value in _FIELD.findall(text):
            record.setdefault(key, value)
        return json.dumps(record, ensure_ascii=False) + "\n"

    @contextlib.contextmanager
    def capture(self) -> Iterator[list[str]]:
        """The texts of the lines that would be written inside the block, without stamp and tag, instead of the lines:
        for tests, and for trials of which one result is said."""
        lines: list[str] = []
        before, tag, host, json_lines = self._write, self._tag, self._host, self._json
        syslog = self._syslog
        marker = "\x00"

        def write(line: bytes) -> None:
            lines.append(line.decode("utf-8", "replace").partition(marker)[2].rstrip("\n"))

        self._write, self._tag, self._json, self._syslog, self._second = write, marker, False, False, -1
        try:
            yield lines
        finally:
            self._write, self._tag, self._host = before, tag, host
            self._json, self._syslog, self._second = json_lines, syslog, -1


log = Logger()
"""The logger of this process."""
