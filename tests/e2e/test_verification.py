"""Address verification from end to end: probes go out, stop behind RCPT, and are remembered."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from tests.e2e.wire import BOB, PASSWORD
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

STRANGER = "192.0.2.1"


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    settings = {
        "relayhost": sink.nexthop,
        "relay_domains": "relay.test",
        "smtpd_authorized_xclient_hosts": "127.0.0.1",
        "smtpd_recipient_restrictions": "reject_unverified_recipient",
        "unverified_recipient_reject_code": "550",
    }
    with Instance(users={BOB: PASSWORD}, settings=settings) as instance:
        yield instance


def rcpt(mail: Instance, recipient: str) -> tuple[int, str]:
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as session:
        session.ehlo("proxy.test")
        assert session.docmd("XCLIENT", f"ADDR={STRANGER} NAME=[UNAVAILABLE]")[0] == 220
        session.ehlo("client.test")
        assert session.mail("carol@example.com")[0] == 250
        code, said = session.rcpt(recipient)
    return code, said.decode()


def test_an_address_that_its_server_takes(mail: Instance, sink: SmtpSink) -> None:
    assert rcpt(mail, "good@relay.test")[0] == 250
    assert not sink.received("good@relay.test"), "a probe must not deliver anything"
    assert any("status=deliverable (" in line and "good@relay.test" in line for line in mail.log_lines())


def test_a_probe_stops_behind_rcpt_and_its_result_is_remembered(mail: Instance, sink: SmtpSink) -> None:
    for _ in range(2):
        assert rcpt(mail, "twice@relay.test")[0] == 250
    verbs = [line for session in sink.sessions for line in session]
    assert len([line for line in verbs if line.startswith("RCPT TO:<twice@relay.test>")]) == 1
    assert any(line.startswith("MAIL FROM:<>") for line in verbs)
    assert not any(line.startswith(("DATA", "BDAT")) for line in verbs)


def test_an_address_that_its_server_refuses(mail: Instance, sink: SmtpSink) -> None:
    sink.replies["rcpt"] = {"gone@relay.test": "550 5.1.1 who is that?"}
    code, said = rcpt(mail, "gone@relay.test")
    assert code == 550
    assert said.startswith("5.1.1 <gone@relay.test>: Recipient address rejected: undeliverable address: host ")
    assert "550 5.1.1 who is that? (in reply to RCPT TO command)" in said


def test_an_address_that_cannot_be_asked_about_now(mail: Instance, sink: SmtpSink) -> None:
    sink.replies["rcpt"] = {"later@relay.test": "450 4.2.0 busy"}
    code, said = rcpt(mail, "later@relay.test")
    assert code == 450
    assert said.startswith("4.1.1 <later@relay.test>: Recipient address rejected: unverified address: host ")
    sink.replies.clear()
    assert rcpt(mail, "later@relay.test")[0] == 250


def test_our_own_addresses_need_no_probe(mail: Instance, sink: SmtpSink) -> None:
    sessions = len(sink.sessions)
    assert rcpt(mail, BOB)[0] == 250
    code, said = rcpt(mail, "nobody@example.org")
    assert (code, len(sink.sessions)) == (550, sessions)
    assert "undeliverable address: 5.1.1 User unknown in virtual mailbox table" in said


def test_what_was_found_out_outlives_a_restart(mail: Instance, sink: SmtpSink) -> None:
    assert rcpt(mail, "kept@relay.test")[0] == 250
    mail.stop()
    mail.start()
    sink.replies["rcpt"] = {"kept@relay.test": "550 5.1.1 not any more"}
    assert rcpt(mail, "kept@relay.test")[0] == 250
    sink.replies.clear()
