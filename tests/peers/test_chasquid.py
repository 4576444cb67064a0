"""The private chasquid takes mail for its mailboxes."""

from __future__ import annotations

import smtplib
import time
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.peers.chasquid import Chasquid

ANN = "ann@chasquid.example"


def test_mail_reaches_a_mailbox(tmp_path: Path) -> None:
    with Chasquid(authority=Authority(tmp_path), mailboxes={ANN: "secret"}) as chasquid:
        with smtplib.SMTP(chasquid.address, chasquid.port, timeout=30) as client:
            client.sendmail("a@example.com", [ANN], b"Subject: test\r\n\r\nhello\r\n")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.com", ["nobody@chasquid.example"], b"Subject: test\r\n\r\nhello\r\n")
        deadline = time.monotonic() + 30
        while not chasquid.mailbox(ANN):
            assert time.monotonic() < deadline, chasquid.log_lines()
            time.sleep(0.02)
        assert chasquid.mailbox(ANN)[0].endswith(b"hello\n")
