"""What the tests of foreign clients stand on: one instance with a trusted certificate, and accounts made for one test.

An instance serves all tests of a process, because each test has an account, and so mailboxes, of its own.
"""

from __future__ import annotations

import imaplib
import itertools
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.certificates import Authority
from tests.lab.instance import Instance

DOMAIN = "example.org"
PASSWORD = "open Sesame 1"  # with spaces, which clients must quote

PREPARED = {f"ready{number}@{DOMAIN}": PASSWORD for number in range(20)}
"""Accounts that are made with the instance; the others need a command each."""


class Site:
    """A running instance whose certificate `authority` has signed, for 127.0.0.1 and localhost."""

    def __init__(self, mail: Instance, authority: Authority) -> None:
        self.mail, self.authority = mail, authority
        self._numbers = itertools.count(1)
        self._prepared = [address for address in PREPARED if address in mail.users]

    @property
    def trust(self) -> Path:
        """The PEM file of the authority that clients are to trust."""
        return self.authority.certificate

    def port(self, service: str) -> int:
        return self.mail.port(service)

    def new_account(self, password: str = PASSWORD) -> Account:
        """An account that no other test knows."""
        if password == PASSWORD and self._prepared:
            return Account(self, self._prepared.pop())
        address = f"user{next(self._numbers)}@{DOMAIN}"
        self.mail.run(["pillarbox", "user", "add", address], input=f"{password}\n", check=True)
        return Account(self, address, password)


@dataclass(frozen=True, slots=True)
class Account:
    """A hosted account of a site."""

    site: Site
    address: str
    password: str = PASSWORD

    def deliver(self, *messages: bytes) -> None:
        """Hand messages in by LMTP, one after the other, and return when all are in the mailbox."""
        before = len(self.messages())
        with smtplib.LMTP("127.0.0.1", self.site.port("lmtp"), timeout=30) as client:
            for count, message in enumerate(messages, 1):
                client.sendmail("sender@example.com", [self.address], message)
                self.site.mail.wait_for(lambda count=count: len(self.messages()) == before + count)  # type: ignore[misc]

    def deliver_elsewhere(self, message: bytes, folder: str) -> None:
        """Hand a message in that a filter files into `folder`, and return when it is there."""
        with smtplib.LMTP("127.0.0.1", self.site.port("lmtp"), timeout=30) as client:
            client.sendmail("sender@example.com", [self.address], message)
        place = self.site.mail.maildir(self.address) / f".{folder}" / "new"
        self.site.mail.wait_for(lambda: place.is_dir() and any(place.iterdir()))

    def messages(self) -> list[bytes]:
        """What is in the INBOX, oldest first, as stored."""
        return self.site.mail.mailbox(self.address)

    def files(self) -> list[str]:
        """The names of all stored messages in all mailboxes; flags are part of them."""
        return sorted(path.name for path in self.site.mail.maildir(self.address).rglob("cur/*"))

    def arrived(self, count: int = 1) -> list[bytes]:
        """Wait for `count` messages and give them."""
        self.site.mail.wait_for(lambda: len(self.messages()) >= count)
        return self.messages()

    @contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4]:
        """An independent, logged-in look at the mailboxes."""
        with imaplib.IMAP4("127.0.0.1", self.site.port("imap"), timeout=30) as client:
            client.login(self.address, self.password)
            yield client

    def folders(self) -> set[str]:
        """The names of all mailboxes, as IMAP4rev1 writes them (without quotes)."""
        with self.imap() as client:
            return {
                line.decode().rpartition(' "/" ')[2].strip('"') for line in client.list()[1] if isinstance(line, bytes)
            }

    def flags(self, mailbox: str = "INBOX") -> dict[str, set[str]]:
        """For each message of a mailbox its flags (\\Recent left out), by subject."""
        found = {}
        with self.imap() as client:
            assert client.select(mailbox, readonly=True)[0] == "OK", f"no mailbox {mailbox}"
            for number in client.search(None, "ALL")[1][0].split():
                data = client.fetch(number.decode(), "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
                part = next(part for part in data if isinstance(part, tuple))
                rest = b" ".join(each if isinstance(each, bytes) else each[0] for each in data if each)
                subject = part[1].decode().partition(":")[2].strip()
                found[subject] = {flag.decode() for flag in imaplib.ParseFlags(rest)} - {"\\Recent"}
        return found


def letter(subject: str, *, to: str = f"someone@{DOMAIN}", sender: str = "sender@example.com", body: str = "") -> bytes:
    """A message with CRLF line ends; the body has what gateways trip over: dots, 8-bit text and an empty line."""
    body = body or "Hello,\r\n\r\n.\r\n..two dots\r\nFrom here on: grün, 水.\r\n"
    return (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Mon, 17 Nov 2025 10:00:00 +0000\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@example.com>\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}"
    ).encode()


def stored(message: bytes) -> bytes:
    """A message as a mailbox holds it: with LF."""
    return message.replace(b"\r\n", b"\n")


def body_of(message: bytes) -> bytes:
    """What stands behind the header, whatever the line ends."""
    return stored(message).partition(b"\n\n")[2]
