"""The private Exim takes mail for its mailboxes, and finds other servers by MX records with TLS."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink
from tests.peers.exim import Exim

MAIL = b"Subject: test\r\n\r\nhello\r\n"


def test_mail_reaches_a_hosted_mailbox_and_other_recipients_are_refused() -> None:
    with Exim(mailboxes=["bob@example.org"]) as exim:
        with smtplib.SMTP(exim.address, exim.port, timeout=30) as client:
            client.sendmail("a@example.com", ["bob@example.org"], MAIL)
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.com", ["nobody@example.org"], MAIL)
        exim.wait_for(lambda: exim.mailbox("bob@example.org"))
        assert b"\n\nhello\n" in exim.mailbox("bob@example.org")[0]


def test_mail_for_another_domain_goes_to_its_exchanger_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    address = loopback_address()
    with (
        DnsServer(mail_zone("example.net", address), address=loopback_address(), port=53) as dns,
        SmtpSink(address=address, port=25, certificate=authority.issue("mx.example.net")) as sink,
        Exim(mailboxes=["bob@example.org"], dns=dns, authority=authority) as exim,
    ):
        with smtplib.SMTP(exim.address, exim.port, timeout=30) as client:
            client.starttls(context=authority.client_context)
            client.sendmail("bob@example.org", ["eve@example.net"], MAIL)
        exim.wait_for(lambda: sink.received("eve@example.net"))
        assert sink.messages[0].tls.startswith("TLSv1")
