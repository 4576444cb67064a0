"""The ceilings that are promised for each session, measured; no time is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.e2e.wire import BOB, PASSWORD
from tests.lab.instance import Instance
from tests.load.sessions import ask, at_rest, begin_message, connect, idle, private_memory
from tests.peers import peer

IDLE_CEILING = 60_000
BUSY_CEILING = 300_000
MESSAGE_CEILING = 2_000_000
"""Bytes that a process may grow while one message passes, however large it is: its buffers, and the allocator's."""

_MESSAGE = 200_000_000
_MANY = 2000


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    settings = {"message_size_limit": str(_MESSAGE + 1_000_000), "smtpd_timeout": "300s"}
    with Instance(users={BOB: PASSWORD}, settings=settings, plain=True) as instance:
        with idle(instance, 50), idle(instance, 50, tls=True):
            pass  # what a process makes once is no session's
        yield instance


@pytest.mark.parametrize(("tls", "count"), [(False, 400), (True, 200)])
def test_an_idle_session_is_small(mail: Instance, tls: bool, count: int) -> None:
    before = at_rest(mail, "smtpd")
    with idle(mail, count, tls=tls):
        cost = (at_rest(mail, "smtpd") - before) / count
    assert cost < IDLE_CEILING


def test_a_session_in_the_middle_of_a_message_is_small(mail: Instance) -> None:
    count = 60
    with idle(mail, count) as clients:
        before = at_rest(mail, "smtpd") + at_rest(mail, "cleanup")
        for client in clients:
            begin_message(client, 2_000_000)
        cost = (at_rest(mail, "smtpd") + at_rest(mail, "cleanup") - before) / count
    assert cost < BUSY_CEILING
    mail.wait_for(lambda: not mail.queue_ids())


@pytest.mark.timeout(600)
def test_a_message_of_200_megabytes_passes_at_constant_memory(mail: Instance) -> None:
    watched = ("smtpd", "cleanup", "qmgr", "virtual")
    before = {name: private_memory(mail, name) for name in watched}
    peak: dict[int, int] = {}

    def look() -> None:
        for name in watched:
            for pid, size in private_memory(mail, name).items():
                peak[pid] = max(size, peak.get(pid, 0))

    with connect(mail) as client:
        begin_message(client, 0)
        block = b"%s\r\n" % (b"x" * 70) * 1000
        for number in range(_MESSAGE // len(block)):
            client.sendall(block)
            if number % 200 == 0:
                look()
        look()
        assert ask(client, b".").startswith(b"250 ")
    mail.wait_for(lambda: (look(), not mail.queue_ids())[1], 120)
    grown = {
        name: max(peak[pid] - size for pid, size in sizes.items() if pid in peak) for name, sizes in before.items()
    }
    assert all(size < MESSAGE_CEILING for size in grown.values()), grown
    stored = max((mail.maildir(BOB) / "new").iterdir(), key=lambda path: path.stat().st_size)
    assert stored.stat().st_size > _MESSAGE * 0.97
    stored.unlink()


def test_a_message_over_the_limit_is_refused_before_it_is_sent(mail: Instance) -> None:
    with connect(mail) as client:
        reply = ask(client, b"MAIL FROM:<sender@client.example> SIZE=%d" % (2 * _MESSAGE))
        assert reply.startswith(b"552 5.3.4 ")


def test_two_thousand_idle_sessions_keep_nobody_out(mail: Instance) -> None:
    """They come from 50 addresses; beside them a known-good client delivers, and is not refused once."""
    sender = peer("postfix")
    messages = 500
    mailbox = mail.maildir(BOB) / "new"
    already, logged = len(list(mailbox.glob("*"))), len(mail.log_lines())
    with idle(mail, _MANY, sources=50) as clients:
        target = f"inet:{mail.address}:{mail.port('smtp')}"
        command = ["smtp-source", "-s", "20", "-m", str(messages), "-l", "4096", "-f", "a@client.example"]
        done = sender.run([*command, "-t", BOB, "-M", "client.example", target])
        assert done.returncode == 0, done.stdout + done.stderr
        mail.wait_for(lambda: not mail.queue_ids(), 120)
        for client in clients[:: _MANY // 20]:
            assert ask(client, b"NOOP").startswith(b"250 ")
    assert len(list(mailbox.iterdir())) == already + messages
    said = mail.log_lines()[logged:]
    assert not [line for line in said if re.search(r"\b(reject|too many|refused|panic|fatal)\b", line)]


def test_a_client_that_takes_no_replies_costs_no_more(mail: Instance) -> None:
    """It sends commands and never reads: we stop reading, nothing grows."""
    before = at_rest(mail, "smtpd")
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            client = opened.enter_context(connect(mail))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while client.send(b"HELP\r\n" * 1000):
                    pass
        cost = (at_rest(mail, "smtpd") - before) / 20
    assert cost < BUSY_CEILING
