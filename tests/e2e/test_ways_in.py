"""Mail comes in by sendmail, by submission, by port 25 and by LMTP, and reaches a mailbox here or another server."""

from __future__ import annotations

import contextlib
import itertools
import re
import smtplib
from collections.abc import Iterator

import pytest

from tests.e2e.wire import (
    ALICE,
    BOB,
    EVE,
    HELLO,
    PASSWORD,
    Dialogue,
    client,
    only,
    received,
    scram_login,
    send,
    transaction,
)
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

_number = itertools.count()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    users = {ALICE: PASSWORD, BOB: PASSWORD}
    with Instance(
        users=users, settings={"relayhost": sink.nexthop, "recipient_delimiter": "+", "auth_failure_delay": "0s"}
    ) as instance:
        yield instance


@contextlib.contextmanager
def way_in(mail: Instance, way: str) -> Iterator[smtplib.SMTP]:
    """A session on one of the ports, logged in where that port wants it."""
    service, _, mechanism = way.partition(" ")
    with client(mail, service, tls=service == "submission", user=ALICE if mechanism == "PLAIN" else "") as session:
        if mechanism == "SCRAM-SHA-256":
            session.ehlo()
            code, said = scram_login(session, ALICE, PASSWORD)
            assert code == 235, said
        yield session


WAYS = ("smtp", "submission PLAIN", "submission SCRAM-SHA-256", "submissions PLAIN")


@pytest.fixture
def label() -> bytes:
    """A word that marks one test's message among those of the module."""
    return b"message-%d" % next(_number)


def marked(label: bytes) -> bytes:
    return HELLO.replace(b"hello", label)


def here(mail: Instance, label: bytes, address: str = BOB) -> bytes:
    return only(lambda: [each for each in mail.mailbox(address) if label in each], mail)


def there(mail: Instance, sink: SmtpSink, label: bytes) -> bytes:
    return only(lambda: [each.content for each in sink.received(EVE) if label in each.content], mail)


@pytest.mark.parametrize("way", WAYS)
def test_a_message_reaches_a_hosted_mailbox(mail: Instance, way: str, label: bytes) -> None:
    with way_in(mail, way) as session:
        session.sendmail(ALICE, [BOB], marked(label))
    assert here(mail, label).endswith(b"\n\n" + label + b"\n")


@pytest.mark.parametrize("way", WAYS)
def test_a_message_reaches_another_server(mail: Instance, sink: SmtpSink, way: str, label: bytes) -> None:
    with way_in(mail, way) as session:
        session.sendmail(ALICE, [EVE], marked(label))
    assert there(mail, sink, label).endswith(b"\r\n\r\n" + label + b"\r\n")


def test_sendmail_reaches_a_hosted_mailbox(mail: Instance, label: bytes) -> None:
    mail.run(["sendmail", "-f", ALICE, BOB], input=b"Subject: x\n\n" + label + b"\n", check=True)
    assert here(mail, label).endswith(b"\n\n" + label + b"\n")


def test_sendmail_reaches_another_server(mail: Instance, sink: SmtpSink, label: bytes) -> None:
    mail.run(["sendmail", "-t"], input=b"From: %s\nTo: %s\n\n%s\n" % (ALICE.encode(), EVE.encode(), label), check=True)
    assert there(mail, sink, label).endswith(b"\r\n\r\n" + label + b"\r\n")


def test_sendmail_adds_what_a_message_needs(mail: Instance, label: bytes) -> None:
    mail.run(["sendmail", "-f", ALICE, BOB], input=b"Subject: x\n\n" + label + b"\n", check=True)
    header = here(mail, label).partition(b"\n\n")[0]
    for field in (b"Date", b"From", b"Message-Id"):
        assert re.search(rb"(?im)^%s: ." % field, header), header


def test_the_envelope_goes_to_the_other_server_as_it_came(mail: Instance, sink: SmtpSink, label: bytes) -> None:
    with client(mail) as session:
        session.sendmail("carol+list@example.com", [EVE, "mallory@example.net"], marked(label))
    there(mail, sink, label)
    (message,) = [each for each in sink.received(EVE) if label in each.content]
    assert message.sender == "carol+list@example.com"
    assert sorted(message.recipients) == [EVE, "mallory@example.net"]


def test_one_message_for_here_and_there_reaches_both(mail: Instance, sink: SmtpSink, label: bytes) -> None:
    send(mail, [BOB, EVE], marked(label))
    here(mail, label)
    there(mail, sink, label)


def test_an_extension_reaches_the_mailbox_of_the_address_without_it(mail: Instance, label: bytes) -> None:
    send(mail, "bob+lists@example.org", marked(label))
    assert b"Delivered-To: bob+lists@example.org\n" in here(mail, label)


def test_a_null_sender_is_kept(mail: Instance, label: bytes) -> None:
    send(mail, BOB, marked(label), sender="")
    assert here(mail, label).startswith(b"Return-Path: <>\n")


@pytest.mark.parametrize(
    ("way", "protocol"),
    [("smtp", "ESMTP"), ("submission PLAIN", "ESMTPSA"), ("submissions PLAIN", "ESMTPSA"), ("lmtp", "LMTP")],
)
def test_received_names_the_protocol(mail: Instance, way: str, protocol: str, label: bytes) -> None:
    with way_in(mail, way) as session:
        session.sendmail(ALICE, [BOB], marked(label))
    (field,) = received(here(mail, label))
    assert re.search(
        rf"by mx\.example\.org \(Pillarbox\) with {protocol} id [0-9A-Za-z]{{14,}} for <bob@example\.org>;", field
    )


def test_the_log_tells_the_way_of_a_message(mail: Instance, label: bytes) -> None:
    with way_in(mail, "submission PLAIN") as session:
        session.sendmail(ALICE, [BOB], marked(label))
    identity = re.search(rb"with ESMTPSA id (\S+)", here(mail, label))
    assert identity
    queue_id = identity[1].decode()
    mail.wait_for(lambda: mail.log_matching(f"qmgr.*: {queue_id}: removed"))
    said = [re.sub(r".*?pillarbox/(\S+?)\[\d+\]: \w+: ", r"\1: ", line) for line in mail.log_matching(queue_id)]
    expected = (
        r"submission/smtpd: client=localhost\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username=alice@example\.org",
        r"cleanup: message-id=",
        r"qmgr: from=<alice@example\.org>, size=\d+, nrcpt=1 \(queue active\)",
        r"virtual: to=<bob@example\.org>, relay=virtual, delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, status=sent \(.*\)",
        r"qmgr: removed",
    )
    assert len(said) == len(expected), said
    for line, pattern in zip(said, expected, strict=True):
        assert re.match(pattern, line), line


# Who may send what


def test_an_unknown_hosted_mailbox_is_refused(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        session.mail(ALICE)
        code, said = session.rcpt("nobody@example.org")
    assert (code, said.decode()) == (
        550,
        "5.1.1 <nobody@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
    )


def test_an_unknown_system_user_is_refused(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        session.mail(ALICE)
        code, said = session.rcpt("no-such-user@mx.example.org")
    assert (code, said.decode()) == (
        550,
        "5.1.1 <no-such-user@mx.example.org>: Recipient address rejected: User unknown in local recipient table",
    )


def test_submission_without_login_is_refused(mail: Instance) -> None:
    with client(mail, "submission", tls=True) as session:
        session.ehlo()
        session.mail(ALICE)
        code, said = session.rcpt(BOB)
    assert code == 554, said
    assert said.startswith(b"5.7.1 <bob@example.org>: Recipient address rejected: Access denied"), said


def test_submission_offers_no_login_in_clear_text(mail: Instance) -> None:
    with client(mail, "submission") as session:
        session.ehlo()
        assert not session.has_extn("auth")
        assert session.has_extn("starttls")


def test_a_wrong_password_is_refused_and_logged(mail: Instance) -> None:
    with client(mail, "submissions") as session, pytest.raises(smtplib.SMTPAuthenticationError) as error:
        session.login(ALICE, "wrong")
    assert error.value.smtp_code == 535
    # The form that fail2ban's filter for Postfix knows.
    mail.wait_for(
        lambda: mail.log_matching(
            r"submissions/smtpd\[\d+\]: warning: localhost\[127\.0\.0\.1\]: SASL PLAIN authentication failed: "
        )
    )


def test_a_wrong_scram_proof_is_refused(mail: Instance) -> None:
    with client(mail, "submissions") as session:
        session.ehlo()
        assert scram_login(session, ALICE, "wrong")[0] == 535


# LMTP


def test_lmtp_answers_for_each_recipient(mail: Instance, label: bytes) -> None:
    with Dialogue(mail, "lmtp") as lmtp:
        lmtp.until(rb"^220 mx\.example\.org")
        lmtp.ask(b"LHLO client.test")
        assert lmtp.ask(b"MAIL FROM:<carol@example.com>").startswith(b"250 2.1.0")
        assert lmtp.ask(b"RCPT TO:<alice@example.org>").startswith(b"250 2.1.5")
        assert lmtp.ask(b"RCPT TO:<nobody@example.org>").startswith(b"550 5.1.1")
        assert lmtp.ask(b"RCPT TO:<bob@example.org>").startswith(b"250 2.1.5")
        assert lmtp.ask(b"DATA").startswith(b"354")
        lmtp.send(marked(label) + b".\r\n")
        replies = [lmtp.line(), lmtp.line()]
        assert lmtp.ask(b"NOOP").startswith(b"250"), "more than one reply per accepted recipient"
    assert [reply[:9] for reply in replies] == [b"250 2.0.0"] * 2, replies
    here(mail, label, ALICE)
    here(mail, label, BOB)


def test_lmtp_wants_lhlo(mail: Instance) -> None:
    with Dialogue(mail, "lmtp") as lmtp:
        lmtp.until(rb"^220")
        assert lmtp.ask(b"EHLO client.test").startswith(b"500 5.5.")


# Size


def test_a_message_that_says_it_is_too_large_is_refused_at_mail(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        assert session.esmtp_features["size"] == "10240000"
        code, said = session.mail(ALICE, ["SIZE=10240001"])
    assert (code, said.decode()) == (552, "5.3.4 Message size exceeds fixed limit")


def test_a_message_that_is_too_large_is_refused_after_data(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        transaction(session, ALICE, [BOB])
        code, said = session.data(b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 10500)
        assert (code, said.decode()) == (552, "5.3.4 Error: message file too big")
        assert session.noop()[0] == 250
    mail.wait_for(lambda: not mail.queue_ids())
