"""OpenDKIM, then OpenDMARC: the second judges by the header field that the first has inserted."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, client, send
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.ports import LOOPBACK, free_port, loopback_address
from tests.milter.real import opendkim, opendmarc

CONTENT = (
    b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: %s\r\n"
    b"Date: Thu, 26 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n"
)


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    if os.geteuid() != 0:
        pytest.skip("a name server on port 53 needs root")
    first, second = free_port(), free_port()
    settings = {"smtpd_milters": ", ".join(f"inet:{LOOPBACK}:{port}" for port in (first, second))}
    zone = '_dmarc.example.org. TXT "v=DMARC1; p=reject; adkim=s"\nexample.org. A 127.0.0.1\n'
    with (
        DnsServer(zone, address=loopback_address(), port=53) as dns,
        opendkim(first, tmp_path_factory.mktemp("opendkim"), "example.org"),
        opendmarc(second, tmp_path_factory.mktemp("opendmarc"), dns),
        Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance,
    ):
        yield instance


def test_signed_mail_passes_and_unsigned_mail_is_refused(mail: Instance) -> None:
    with client(mail, "submission", tls=True, user=ALICE) as session:
        session.sendmail(ALICE, [BOB], CONTENT % b"signed")
    mail.wait_for(lambda: mail.mailbox(BOB))
    (signed,) = mail.mailbox(BOB)
    again = signed[signed.index(b"DKIM-Signature") :].replace(b"\n", b"\r\n")
    send(mail, BOB, again, sender="carol@example.com")
    mail.wait_for(lambda: len(mail.mailbox(BOB)) == 2)
    verified = next(each for each in mail.mailbox(BOB) if each != signed)
    assert b"judge.example; dmarc=pass" in verified and b"verifier.example" in verified
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(mail, BOB, CONTENT % b"forged", sender="carol@example.com")
    assert caught.value.smtp_code == 550
    assert b"rejected by DMARC policy for example.org" in caught.value.smtp_error
