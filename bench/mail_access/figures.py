"""What is measured: each figure is a function that does its work on one server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Literal

from bench.mail_access import client
from bench.mail_access.corpus import RARE, Corpus
from bench.mail_access.servers import PASSWORD, POP3_USERS, Server
from tests.peers import PeerUnavailable, peer


class Unavailable(Exception):
    """What the measurement needs is not here; no failure."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work there is in a measurement."""

    seconds: float = 8.0
    appends: int = 10_000
    octets: int = 1_000_000_000
    repeats: int = 5


WARM_UP = Effort(seconds=1.0, appends=20, octets=50_000_000, repeats=1)
"""Done once with each server before it is measured: what a mailbox needs once is not what it costs."""
QUICK = Effort(seconds=2.0, appends=500, octets=200_000_000, repeats=2)


@dataclass(frozen=True, slots=True)
class Measured:
    """The value, and how many commands (sessions, messages ...) its processor time is divided by."""

    value: float
    operations: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `target` is how many times Dovecot it must be (rate, or inverse of time), None where none is set."""

    name: str
    unit: str
    better: Literal["more", "less"]
    target: float | None
    measure: Callable[[Server, Effort], Measured]
    warm: bool = True


_SMALL = Corpus(7).message(1, 5000).replace(b"\n", b"\r\n")


def _rate(rate: float, seconds: float) -> Measured:
    return Measured(rate, rate * seconds)


def _mix(last: bytes) -> Callable[[Server, Effort], Measured]:
    def measure(server: Server, effort: Effort) -> Measured:
        loads = [client.mix(seed, _SMALL, last) for seed in range(10)]
        return _rate(client.closed_loop(server.account("bob"), loads, effort.seconds), effort.seconds)

    return measure


def _logins(server: Server, effort: Effort) -> Measured:
    loads = [repeat(client.LOGOUT) for _ in range(4)]
    return _rate(client.closed_loop(server.account("bob"), loads, effort.seconds, opening=()), effort.seconds)


def _fetch(server: Server, effort: Effort) -> Measured:
    loads = [client.fetches(seed) for seed in range(4)]
    return _rate(client.closed_loop(server.account("ann"), loads, effort.seconds), effort.seconds)


def _append(server: Server, effort: Effort) -> Measured:
    loads = [repeat(client.append(_SMALL)) for _ in range(4)]
    return _rate(client.closed_loop(server.account("bob"), loads, effort.seconds), effort.seconds)


def _many_appends(server: Server, effort: Effort) -> Measured:
    connection = client.session(server.account("cat"))
    command = client.append(_SMALL)

    def work() -> None:
        for _ in range(effort.appends):
            connection.command(command)

    elapsed = client.timed(work)
    connection.close()
    return Measured(effort.appends / elapsed, effort.appends)


def _lmtp(server: Server, effort: Effort) -> Measured:
    with socket.create_connection(server.lmtp) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        replies = connection.makefile("rb")

        def ask(command: bytes) -> None:
            connection.sendall(command)
            while (line := replies.readline())[3:4] == b"-":
                pass
            if line[:1] not in (b"2", b"3"):
                raise AssertionError(f"{command[:60]!r}: {line!r}")

        ask(b"")
        ask(b"LHLO bench.test\r\n")
        count = int(100 * effort.seconds)
        recipient = server.user("cat").encode()

        def work() -> None:
            for _ in range(count):
                ask(b"MAIL FROM:<a@example.com>\r\n")
                ask(b"RCPT TO:<%b>\r\n" % recipient)
                ask(b"DATA\r\n")
                ask(_SMALL + b".\r\n")

        elapsed = client.timed(work)
        replies.close()
    return Measured(count / elapsed, count)


def _pop3_session(server: Server, name: str) -> None:
    account = server.account(name, "pop3")
    with socket.create_connection((account.address, account.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(command: bytes, long: bool = False) -> None:
            if command:
                connection.sendall(command + b"\r\n")
            got = b""
            while not (got.endswith(b"\r\n.\r\n") if long else got.endswith(b"\r\n")):
                piece = connection.recv(1 << 18)
                if not piece or got[:1] == b"-":
                    raise AssertionError(f"{command!r}: {got[-200:]!r}")
                got += piece

        ask(b"")
        ask(b"USER " + account.user.encode())
        ask(b"PASS " + account.password.encode())
        ask(b"UIDL", True)
        ask(b"LIST", True)
        ask(b"TOP 1 5", True)
        for number in range(1, 6):
            ask(b"RETR %d" % number, True)
        ask(b"QUIT")


def _pop3(server: Server, effort: Effort) -> Measured:
    count = int(effort.seconds * 4)
    failures: list[BaseException] = []

    def run(name: str) -> None:
        try:
            for _ in range(count):
                _pop3_session(server, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in POP3_USERS]

    def work() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    elapsed = client.timed(work)
    if failures:
        raise failures[0]
    return Measured(count * len(threads) / elapsed, count * len(threads))


def _select_big(server: Server, effort: Effort) -> Measured:
    client.session(server.account("ann"), b"SELECT Big").close()
    times = []
    for _ in range(effort.repeats):
        connection = client.session(server.account("ann"))
        times.append(client.timed(lambda c=connection: c.command(b"SELECT Big")))
        connection.close()
    return Measured(1000 * min(times), effort.repeats + 1)


def _big(command: bytes) -> Callable[[Server, Effort], Measured]:
    def measure(server: Server, effort: Effort) -> Measured:
        connection = client.session(server.account("ann"), b"SELECT Big")
        times = [client.timed(lambda: connection.command(command)) for _ in range(2)]
        connection.close()
        return Measured(1000 * min(times), 2)

    return measure


def _first_envelopes(server: Server, effort: Effort) -> Measured:
    """What nobody has asked for yet: a mailbox is made anew for it."""
    connection = client.session(server.account("ann"))
    for command in (b"CREATE Copies", b"SELECT INBOX", b"COPY 1:* Copies", b"SELECT Copies"):
        connection.command(command)
    first = client.timed(lambda: connection.command(b"FETCH 1:* (ENVELOPE)"))
    connection.command(b"CLOSE")
    connection.command(b"DELETE Copies")
    connection.close()
    return Measured(1000 * first, 1)


def _usual(command: bytes) -> Callable[[Server, Effort], Measured]:
    def measure(server: Server, effort: Effort) -> Measured:
        connection = client.session(server.account("ann"), b"SELECT INBOX", command)
        times = [client.timed(lambda: connection.command(command)) for _ in range(effort.repeats)]
        connection.close()
        return Measured(1000 * min(times), effort.repeats + 1)

    return measure


def _search(command: bytes, mailbox: bytes = b"INBOX") -> Callable[[Server, Effort], Measured]:
    """A search after earlier ones: what a server does in the background with what it has learnt has had its time."""

    def measure(server: Server, effort: Effort) -> Measured:
        connection = client.session(server.account("ann"), b"SELECT " + mailbox)
        best = float("inf")
        waited = 0
        while waited < _PATIENCE:
            elapsed = client.timed(lambda: connection.command(command))
            waited = 0 if elapsed < 0.9 * best else waited + 1
            best = min(best, elapsed)
            time.sleep(1)
        times = [client.timed(lambda: connection.command(command)) for _ in range(effort.repeats)]
        connection.close()
        return Measured(1000 * min(times), effort.repeats)

    return measure


_PATIENCE = 10
"""Searches, a second apart, that are no quicker than those before until a server counts as settled."""


def _bodies(server: Server, effort: Effort) -> Measured:
    connection = client.session(server.account("ann"), b"SELECT INBOX")
    before = connection.received

    def work() -> None:
        while connection.received - before < effort.octets:
            connection.command(b"FETCH 1:* (BODY.PEEK[])")

    elapsed = client.timed(work)
    got = (connection.received - before) / 1e6
    connection.close()
    return Measured(got / elapsed, got)


def _sync(program: str, names: tuple[str, ...], arguments: Callable[[Server, Path], list[str]]) -> Figure:
    def measure(server: Server, effort: Effort) -> Measured:
        for name in names:
            try:
                found = peer(name)
                break
            except PeerUnavailable:
                continue
        else:
            raise Unavailable(f"{program} is not installed here")
        place = Path(tempfile.mkdtemp(prefix="sync-", dir="/var/tmp"))
        try:
            command = found.command(arguments(server, place))
            environment = found.environment({"HOME": str(place)})
            done: list[subprocess.CompletedProcess[bytes]] = []
            elapsed = client.timed(
                lambda: done.append(subprocess.run(command, env=environment, capture_output=True, timeout=600))
            )
            count = sum(1 for path in place.rglob("*") if path.parent.name in ("new", "cur"))
            if done[0].returncode or count < 100:
                raise AssertionError(f"{program}: {count} messages, {done[0].stderr[-300:]!r}")
            return Measured(elapsed, count)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return Figure(program, "s", "less", 1 / 1.5, measure, warm=False)


def _mbsync_arguments(server: Server, place: Path) -> list[str]:
    account = server.account("ann")
    (place / "mail").mkdir()
    (place / "rc").write_text(
        f"IMAPAccount a\nHost {account.address}\nPort {account.port}\nUser {account.user}\nPass {PASSWORD}\n"
        f"SSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath {place}/mail/\n"
        f"Inbox {place}/mail/INBOX\nSubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns INBOX\n"
        "Create Near\nSyncState *\nSync Pull\n"
    )
    return ["mbsync", "-c", str(place / "rc"), "-a"]


def _offlineimap_arguments(server: Server, place: Path) -> list[str]:
    account = server.account("ann")
    (place / "rc").write_text(
        f"[general]\naccounts = a\nmetadata = {place}/meta\nui = quiet\n[Account a]\nlocalrepository = near\n"
        f"remoterepository = far\n[Repository near]\ntype = Maildir\nlocalfolders = {place}/mail\n[Repository far]\n"
        f"type = IMAP\nremotehost = {account.address}\nremoteport = {account.port}\nremoteuser = {account.user}\n"
        f"remotepass = {PASSWORD}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n"
        "folderfilter = lambda name: name == 'INBOX'\nreadonly = True\n"
    )
    return ["offlineimap", "-c", str(place / "rc"), "-o"]


FIGURES = (
    Figure("fetch", "cmd/s", "more", 0.6, _fetch),
    Figure("select-big", "ms", "less", 0.5, _select_big),
    Figure("flags-big", "ms", "less", 0.5, _big(b"FETCH 1:* (FLAGS)")),
    Figure("envelope-big", "ms", "less", 0.5, _big(b"FETCH 1:* (ENVELOPE)")),
    Figure("envelope-first", "ms", "less", None, _first_envelopes, warm=False),
    Figure("envelope", "ms", "less", None, _usual(b"FETCH 1:* (ENVELOPE)")),
    Figure("structure", "ms", "less", None, _usual(b"FETCH 1:* (BODYSTRUCTURE)")),
    Figure("bodies", "MB/s", "more", 0.7, _bodies),
    Figure("search-rare", "ms", "less", 20, _search(f"SEARCH BODY {RARE}".encode())),
    Figure("search-rare-big", "ms", "less", 20, _search(f"SEARCH BODY {RARE}".encode(), b"Big")),
    Figure("search-subject", "ms", "less", None, _usual(b"SEARCH SUBJECT aab FROM e")),
    Figure("sort-subject", "ms", "less", None, _usual(b"SORT (SUBJECT DATE) UTF-8 ALL")),
    Figure("thread", "ms", "less", None, _usual(b"THREAD REFERENCES UTF-8 ALL")),
    _sync("mbsync", ("isync",), _mbsync_arguments),
    _sync("offlineimap", ("offlineimap3", "offlineimap"), _offlineimap_arguments),
    Figure("logins", "cmd/s", "more", 3, _logins),
    Figure("mix-logins", "cmd/s", "more", 1.2, _mix(client.LOGOUT)),
    Figure("mix", "cmd/s", "more", 0.6, _mix(b"NOOP")),
    Figure("append", "msg/s", "more", 0.7, _append),
    Figure("append-many", "msg/s", "more", 0.7, _many_appends),
    Figure("lmtp", "msg/s", "more", 1, _lmtp),
    Figure("pop3", "sessions/s", "more", 1, _pop3),
)
