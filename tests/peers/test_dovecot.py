"""The private Dovecot takes mail by LMTP and gives it by IMAP and POP3, with and without TLS."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import time
from collections.abc import Iterator

import pytest

from tests.lab.processes import alive, tree
from tests.peers.dovecot import Dovecot


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({"bob": "secret"}) as running:
        with smtplib.LMTP(running.address, running.port("lmtp"), timeout=30) as client:
            client.sendmail("a@example.org", ["bob"], b"Subject: test\r\n\r\nhello\r\n")
        yield running


def test_imap_gives_the_message(dovecot: Dovecot) -> None:
    with imaplib.IMAP4(dovecot.address, dovecot.port("imap")) as client:
        client.login("bob", "secret")
        client.select("INBOX")
        _, (found, *_) = client.fetch("1", "(BODY.PEEK[TEXT])")
    assert isinstance(found, tuple)
    assert found[1] == b"hello\r\n"


def test_imap_over_tls_is_trusted(dovecot: Dovecot) -> None:
    context = dovecot.authority.client_context
    with imaplib.IMAP4_SSL(dovecot.address, dovecot.port("imaps"), ssl_context=context) as client:
        assert client.login("bob", "secret")[0] == "OK"


def test_pop3_gives_the_message(dovecot: Dovecot) -> None:
    client = poplib.POP3(dovecot.address, dovecot.port("pop3"), timeout=30)
    client.user("bob")
    client.pass_("secret")
    assert client.stat()[0] == 1
    client.quit()


def test_a_wrong_password_is_refused(dovecot: Dovecot) -> None:
    with (
        imaplib.IMAP4(dovecot.address, dovecot.port("imap")) as client,
        pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"),
    ):
        client.login("bob", "wrong")


def test_no_process_is_left() -> None:
    dovecot = Dovecot({"bob": "secret"})
    dovecot.start()
    assert dovecot.process is not None
    while len(members := [each.pid for each in tree(dovecot.process.pid)]) < 3:
        time.sleep(0.01)
    dovecot.stop()
    dovecot.remove()
    assert not any(map(alive, members))
