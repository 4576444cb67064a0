"""The extensions of SMTP in a running instance, from the client's command to the mailbox or the queue."""

from __future__ import annotations

import email
import email.policy
import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, client
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

_number = itertools.count()

RELAY = "someone@relay.example"


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    settings = {
        "relay_domains": "relay.example",
        "relayhost": sink.nexthop,
        "mydestination": "local.example",
        "smtpd_expn_networks": "127.0.0.0/8",
        "smtpd_recipient_limit": "7",
        "smtpd_recipient_domain_limit": "2",
        "smtpd_session_message_limit": "5",
        # A deferred message waits for ETRN, not for its time.
        "minimal_backoff_time": "1h",
        "maximal_backoff_time": "1h",
    }
    with Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance:
        yield instance


def message(body: bytes = b"") -> tuple[bytes, bytes]:
    """A word that marks the message, and the message."""
    word = b"extension-%d" % next(_number)
    header = b"From: alice@example.org\r\nTo: bob@example.org\r\nMessage-ID: <%s@example.org>\r\nSubject: %s\r\n" % (
        word,
        word,
    )
    return word, header + (body or b"\r\ntext\r\n")


def find(mail: Instance, word: bytes) -> bytes:
    mail.wait_for(lambda: [each for each in mail.mailbox(BOB) if word in each])
    (found,) = [each for each in mail.mailbox(BOB) if word in each]
    return found


def test_each_service_announces_what_it_offers(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        assert session.esmtp_features["limits"] == "MAILMAX=5 RCPTMAX=7 RCPTDOMAINMAX=2"
        assert session.esmtp_features["deliverby"] == "60"
        assert {"binarymime", "chunking", "etrn", "expn", "vrfy", "dsn", "smtputf8"} <= set(session.esmtp_features)
        assert set(session.esmtp_features).isdisjoint({"futurerelease", "requiretls", "xclient", "xforward"})
    with client(mail, "submission", tls=True, user=ALICE) as session:
        session.ehlo()
        assert session.esmtp_features["futurerelease"].startswith("604800 20")
        assert "requiretls" in session.esmtp_features
    with client(mail, "lmtp") as session:
        session.ehlo()
        assert "etrn" not in session.esmtp_features


def test_a_binary_body_reaches_the_mailbox(mail: Instance) -> None:
    octets = bytes(range(256)) * 3 + b"\r\n.\r\n\n\r\0"
    word, content = message(b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
                            b"Content-Transfer-Encoding: binary\r\n\r\n" + octets)  # fmt: skip
    with client(mail) as session:
        session.ehlo()
        assert session.docmd("MAIL", "FROM:<a@b.example> BODY=BINARYMIME")[0] == 250
        assert session.rcpt(BOB)[0] == 250
        assert session.docmd("DATA")[0] == 503
        half = len(content) // 2
        for piece, last in ((content[:half], ""), (content[half:], " LAST")):
            session.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
            assert session.getreply()[0] == 250
    stored = find(mail, word)
    part = email.message_from_bytes(stored, policy=email.policy.default)
    assert part.get_payload(decode=True) == octets
    assert b"\0" not in stored


def test_etrn_sends_what_waits_for_a_site(mail: Instance, sink: SmtpSink) -> None:
    word, content = message()
    sink.replies["rcpt"] = {RELAY: "450 4.2.1 not now"}
    with client(mail) as session:
        session.sendmail("a@b.example", [RELAY], content)
    mail.wait_for(lambda: mail.log_matching("status=deferred .*not now"))
    mail.wait_for(lambda: list((mail.root / "spool" / "deferred").rglob("[!.]*")))
    del sink.replies["rcpt"]
    with client(mail) as session:
        session.ehlo()
        assert session.docmd("ETRN", "other.example")[0] == 459
        assert session.docmd("ETRN", "relay.example") == (250, b"2.0.0 Queuing started")
    mail.wait_for(lambda: [each for each in sink.messages if word in each.content])


def test_expn_shows_an_alias(mail: Instance) -> None:
    aliases = mail.config / "aliases"
    aliases.write_text(aliases.read_text() + "\nteam: ann, bob@example.org\n")
    mail.run(["newaliases"], check=True)
    with client(mail) as session:
        session.ehlo()

        def expanded() -> bool:
            code, said = session.docmd("EXPN", "team@local.example")
            return code == 250 and said.split(b"\n")[-1] == b"2.0.0 <bob@example.org>"

        mail.wait_for(expanded)


def test_mail_that_is_to_be_held_is_not_delivered_before_its_time(mail: Instance) -> None:
    held, held_content = message()
    soon, soon_content = message()
    with client(mail, "submission", tls=True, user=ALICE) as session:
        session.sendmail(ALICE, [BOB], held_content, mail_options=["HOLDFOR=3600"])
        session.sendmail(ALICE, [BOB], soon_content, mail_options=["HOLDFOR=1"])
    find(mail, soon)
    assert not [each for each in mail.mailbox(BOB) if held in each]
    assert mail.queue_ids()


def test_limits_are_enforced_as_announced(mail: Instance) -> None:
    with client(mail) as session:
        session.ehlo()
        session.mail("a@b.example")
        codes = [session.rcpt(f"bob@{domain}")[0] for domain in ("example.org", "relay.example", "EXAMPLE.ORG")]
        assert codes == [250, 250, 250]
        assert session.rcpt("root@local.example") == (452, b"4.5.3 Error: too many recipient domains")
        assert [session.rcpt(RELAY)[0] for _ in range(5)] == [250, 250, 250, 250, 452]
        for _ in range(4):
            session.rset()
            assert session.mail("a@b.example")[0] == 250
        session.rset()
        assert session.docmd("MAIL", "FROM:<a@b.example>")[0] == 421


def test_requiretls_needs_tls(mail: Instance) -> None:
    word, content = message()
    with client(mail) as session:
        session.ehlo()
        assert session.docmd("MAIL", "FROM:<a@b.example> REQUIRETLS")[0] == 530
    with client(mail, tls=True) as session:
        session.sendmail("a@b.example", [BOB], content, mail_options=["REQUIRETLS"])
    find(mail, word)


def test_help_is_about_this_session(mail: Instance) -> None:
    with client(mail) as session:
        code, said = session.docmd("HELP")
        assert code == 214
        assert {b"ETRN", b"EXPN", b"STARTTLS", b"BDAT"} <= set(said.split())
        assert b"XCLIENT" not in said
        assert session.docmd("HELP", "ETRN")[1].startswith(b"2.0.0 ETRN domain")
