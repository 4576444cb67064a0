"""The private OpenSMTPD takes mail and hands it on."""

from __future__ import annotations

import smtplib
import time

from tests.lab.sinks import SmtpSink
from tests.peers.opensmtpd import OpenSmtpd


def test_mail_goes_through() -> None:
    with SmtpSink() as sink, OpenSmtpd(relay=(sink.address, sink.port)) as opensmtpd:
        with smtplib.SMTP(opensmtpd.address, opensmtpd.port, timeout=30) as client:
            client.sendmail("a@example.com", ["bob@example.org"], b"Subject: test\r\n\r\nhello\r\n")
        deadline = time.monotonic() + 30
        while not sink.received("bob@example.org"):
            assert time.monotonic() < deadline, opensmtpd.log_lines()
            time.sleep(0.02)
        assert b"\r\n\r\nhello\r\n" in sink.received("bob@example.org")[0].content
