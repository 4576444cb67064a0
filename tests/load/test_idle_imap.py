"""What an idle IMAP session costs the whole suite; `bench.mail_access` measures 5,000 of them."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.instance import Instance
from tests.load.idle_imap import idle
from tests.load.sessions import private_memory

SESSIONS = 200
CEILING, TLS_CEILING = 45_000, 90_000
"""Bytes for each session, in the login and the session part together; each user has ten messages."""

PROGRAMS = ("imap", "imap-login", "auth", "anvil", "lookup", "master")
USERS = [f"user{number}@example.org" for number in range(20)]


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    with Instance(users=dict.fromkeys(USERS, "secret"), plain=True) as instance:
        for user in USERS:
            _fill(instance, user)
        with idle(instance, USERS, 40), idle(instance, USERS, 40, tls=True):
            pass  # what a process makes once is no session's
        yield instance


def _fill(mail: Instance, user: str) -> None:
    with smtplib.LMTP(mail.address, mail.port("lmtp"), timeout=30) as client:
        for number in range(10):
            client.sendmail("a@example.com", [user], f"Subject: {number}\r\n\r\nhello\r\n")
    mail.wait_for(lambda: len(mail.mailbox(user)) == 10)


def _total(mail: Instance) -> int:
    return sum(sum(private_memory(mail, program).values()) for program in PROGRAMS)


def _cost(mail: Instance, *, tls: bool) -> float:
    before = _total(mail)
    with idle(mail, USERS, SESSIONS, tls=tls):
        return (_total(mail) - before) / SESSIONS


def test_an_idle_session_is_small(mail: Instance) -> None:
    assert _cost(mail, tls=False) < CEILING


def test_an_idle_session_under_tls_is_small(mail: Instance) -> None:
    assert _cost(mail, tls=True) < TLS_CEILING


def test_after_the_hand_over_nothing_is_left_in_the_login_part(mail: Instance) -> None:
    """A client in clear text has moved to the session part with its descriptor."""

    def descriptors() -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in private_memory(mail, "imap-login"))

    before = descriptors()
    with idle(mail, USERS, 30):
        mail.wait_for(lambda: descriptors() < before + 10)
