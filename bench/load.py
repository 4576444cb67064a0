"""The two ends of a measurement: Postfix's smtp-source sends, its smtp-sink takes and counts."""

from __future__ import annotations

import os
import re
import selectors
import smtplib
import subprocess
import threading
import time
from types import TracebackType

from tests.lab.ports import loopback_address, wait_for_port
from tests.peers import peer

SENDER = "sender@client.test"
MESSAGE_SIZE = 4096  # octets of body

# A base user of Debian: smtp-sink refuses to run as root.
_SINK_USER = "games"

_COUNT = re.compile(rb"mesg=(\d+)")
_BACKLOG = "1000"


class Sink:
    """smtp-sink on port 25 of a loopback address of its own; counts the messages that it took."""

    def __init__(self) -> None:
        self.address = loopback_address()
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Sink:
        found = peer("postfix")
        self._process = subprocess.Popen(
            found.command(["smtp-sink", "-c", "-u", _SINK_USER, f"{self.address}:25", _BACKLOG]),
            env=found.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        wait_for_port(self.address, 25, alive=self._process)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._thread is not None:
            self._thread.join()

    def count(self) -> int:
        """How many messages it has taken so far."""
        return self._count

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            tail = b""
            while True:
                selector.select()
                data = os.read(descriptor, 65536)
                if not data:
                    return
                tail = (tail + data)[-256:]
                counts = _COUNT.findall(tail[: tail.rfind(b"\r") + 1] or tail)
                if counts:
                    self._count = int(counts[-1])
                time.sleep(0.005)  # one look at many updates: the counting must not cost what it measures


def send(target: tuple[str, int], recipient: str, sessions: int, messages: int) -> float:
    """Send with so many parallel sessions, one connection per message; seconds until all are accepted.

    Raises AssertionError when a message is refused.
    """
    found = peer("postfix")
    work = ["-s", str(sessions), "-m", str(messages), "-l", str(MESSAGE_SIZE)]
    envelope = ["-f", SENDER, "-t", recipient, "-M", "client.test"]
    command = found.command(["smtp-source", *work, *envelope, f"inet:{target[0]}:{target[1]}"])
    begin = time.monotonic()
    done = subprocess.run(command, env=found.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    elapsed = time.monotonic() - begin
    if done.returncode != 0:
        raise AssertionError(f"smtp-source: {done.stdout}{done.stderr}")
    return elapsed


def send_first(target: tuple[str, int], recipient: str, until: float) -> float:
    """Try until one message is accepted; the time (time.monotonic) of the acceptance. Raises AssertionError."""
    while True:
        try:
            with smtplib.SMTP(*target, local_hostname="client.test", timeout=30) as client:
                client.ehlo()
                client.mail(SENDER)
                code, text = client.rcpt(recipient)
                if code == 250:
                    code, text = client.data(b"Subject: first\r\n\r\nfirst\r\n")
                if code == 250:
                    return time.monotonic()
                failure = f"{code} {text.decode(errors='replace')}"
        except (OSError, smtplib.SMTPException) as error:
            failure = str(error)
        if time.monotonic() > until:
            raise AssertionError(f"no mail was accepted in time: {failure}")
        time.sleep(0.002)
