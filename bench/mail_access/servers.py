"""The two servers under measurement, with the same accounts and the same mail."""

from __future__ import annotations

import contextlib
import shutil
import smtplib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.mail_access.client import Account
from bench.mail_access.corpus import Corpus, fill
from bench.measure import wait_until
from tests.lab.instance import Instance
from tests.lab.processes import cpu_time, memory
from tests.peers.dovecot import Dovecot

DOMAIN = "example.org"
PASSWORD = "secret"
POP3_USERS = ("pop0", "pop1", "pop2", "pop3")
"""A second session of the same user is kept out, so each connection has its own."""
USERS = ("ann", "bob", "cat", *POP3_USERS)
"""ann's mail is only read; bob's is changed; cat gets mail."""

_DELIVERY = 30.0
_REST, _REST_LIMIT = 1.0, 120.0
_DOVECOT = "mail_max_userip_connections = 500\nservice lmtp {\n  client_limit = 10\n}\n"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Messages of ann and bob; of ann's mailbox Big; of the users of POP3."""

    usual: int = 2000
    big: int = 100_000
    pop3: int = 500


class Server:
    """One of them, running."""

    def __init__(self, name: str, server: Instance | Dovecot) -> None:
        self.name = name
        self.server = server

    def user(self, name: str) -> str:
        """What the user is called here."""
        return f"{name}@{DOMAIN}" if isinstance(self.server, Instance) else name

    def account(self, name: str, service: str = "imap") -> Account:
        """Where the user logs in."""
        return Account(self.server.address, self.server.port(service), self.user(name), PASSWORD)

    @property
    def lmtp(self) -> tuple[str, int]:
        return self.server.address, self.server.port("lmtp")

    def box(self, name: str) -> Path:
        """The user's Maildir."""
        return self.server.maildir(self.user(name))

    @property
    def _root(self) -> int:
        if isinstance(self.server, Instance):
            return self.server.master_pid()
        assert self.server.process is not None
        return self.server.process.pid

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its processes."""
        return cpu_time(self._root)

    def come_to_rest(self) -> None:
        """Return when it does nothing any more in the background (its index of texts, say), or after a while."""
        end = time.monotonic() + _REST_LIMIT
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(_REST)
            if self.cpu() - before < _REST / 20:
                return

    def memory(self) -> int:
        """Octets of all its processes (proportional set size)."""
        return memory(self._root)

    def _has_mail(self, name: str) -> bool:
        new = self.box(name) / "new"
        return new.exists() and any(new.iterdir())

    def give_mail(self, sizes: Sizes) -> None:
        """Make the mailboxes.  The server makes the first one itself, so that owners and modes are its own."""
        for name in USERS:
            with smtplib.LMTP(*self.lmtp) as lmtp:
                lmtp.sendmail("a@example.com", [self.user(name)], b"Subject: x\r\n\r\nx\r\n")
            wait_until(partial(self._has_mail, name), _DELIVERY, f"{self.name} makes the mailbox of {name}")
            found = self.box(name).stat()
            owner = found.st_uid, found.st_gid
            shutil.rmtree(self.box(name))
            count = sizes.pop3 if name in POP3_USERS else sizes.usual
            fill(self.box(name), Corpus().realistic(count), owner)
            if name == "ann":
                fill(self.box(name) / ".Big", Corpus().small(sizes.big), owner)


def ours(users: Mapping[str, str], parent: Path) -> Instance:
    """An instance of ours."""
    return Instance(users=users, domains=[DOMAIN], parent=parent)


@contextlib.contextmanager
def both(parent: Path, sizes: Sizes) -> Iterator[tuple[Server, Server]]:
    """Ours and Dovecot, started, with their mail."""
    with (
        ours({f"{name}@{DOMAIN}": PASSWORD for name in USERS}, parent) as instance,
        Dovecot(dict.fromkeys(USERS, PASSWORD), extra=_DOVECOT) as dovecot,
    ):
        servers = Server("Pillarbox", instance), Server("Dovecot", dovecot)
        for server in servers:
            server.give_mail(sizes)
        yield servers
