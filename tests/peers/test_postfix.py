"""The private Postfix receives, delivers, routes by MX records with TLS, and leaves nothing behind."""

from __future__ import annotations

import re
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.ports import loopback_address
from tests.lab.processes import alive, tree
from tests.lab.sinks import SmtpSink
from tests.peers.postfix import Postfix

MAIL = b"Subject: test\r\n\r\nhello\r\n"


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    with Postfix(hostname="mx.example.org", mailboxes=["bob@example.org"]) as running:
        yield running


def submit(postfix: Postfix, *recipients: str) -> None:
    with smtplib.SMTP(postfix.address, postfix.port, timeout=30) as client:
        client.sendmail("alice@example.com", recipients, MAIL)


def test_mail_reaches_a_hosted_mailbox_and_the_log_says_so(postfix: Postfix) -> None:
    submit(postfix, "bob@example.org")
    postfix.wait_for(lambda: postfix.mailbox("bob@example.org"))
    assert b"\n\nhello\n" in postfix.mailbox("bob@example.org")[0]
    postfix.wait_for(lambda: postfix.deliveries("bob@example.org"))
    assert [each.status for each in postfix.deliveries()] == ["sent"]


def test_sendmail_submits(postfix: Postfix) -> None:
    command, environment = postfix.sendmail_command("-f", "alice@example.com", "bob@example.org")
    subprocess.run(command, env=environment, input=MAIL, check=True, timeout=60)
    postfix.wait_for(lambda: postfix.mailbox("bob@example.org"))


def test_an_unknown_mailbox_is_refused(postfix: Postfix) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        submit(postfix, "nobody@example.org")


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_no_process_is_left(way: str) -> None:
    postfix = Postfix()
    postfix.start()
    assert postfix.process is not None
    while len(members := [each.pid for each in tree(postfix.process.pid)]) < 3:
        time.sleep(0.01)
    getattr(postfix, way)()
    postfix.remove()
    assert not any(map(alive, members))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((postfix.address, postfix.port))


def test_mail_for_a_peer_that_is_down_waits_and_goes_out_later() -> None:
    sink = SmtpSink()
    with Postfix(parameters={"relayhost": sink.nexthop}) as postfix:
        submit(postfix, "someone@example.net")
        postfix.wait_for(lambda: any(each.status == "deferred" for each in postfix.deliveries()))
        assert re.search("Connection refused", postfix.run(["postqueue", "-p"]).stdout)
        with sink:
            postfix.run(["postqueue", "-f"])
            postfix.wait_for(lambda: sink.received("someone@example.net"))
            postfix.wait_for(lambda: not postfix.queue_ids())


def test_a_changed_parameter_counts_at_once(postfix: Postfix) -> None:
    postfix.set("smtpd_banner", "changed.test ESMTP")

    def banner() -> bool:
        with socket.create_connection((postfix.address, postfix.port), timeout=30) as client:
            return client.recv(512).startswith(b"220 changed.test")

    postfix.wait_for(banner)


def test_two_find_each_other_by_mx_records_and_use_trusted_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with (
        DnsServer(address=loopback_address(), port=53) as dns,
        Postfix(hostname="mx.example.org", mailboxes=["bob@example.org"], dns=dns, authority=authority) as here,
        Postfix(hostname="mx.example.net", mailboxes=["eve@example.net"], dns=dns, authority=authority) as there,
    ):
        dns.add(mail_zone("example.org", here.address) + mail_zone("example.net", there.address))
        submit(here, "eve@example.net")
        there.wait_for(lambda: there.mailbox("eve@example.net"))
        assert b"with ESMTPS" in there.mailbox("eve@example.net")[0]
        assert any("Trusted TLS connection established" in line for line in here.log_lines())
        assert dns.asked("example.net", "MX")
