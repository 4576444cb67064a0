"""The next server is down or refuses: the message waits and is shown, goes out later, or comes back with a report."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.e2e.wire import BOB, EVE, HELLO, client, only, parsed, send, transaction
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

USERS = {BOB: "secret"}

_number = itertools.count()


@pytest.fixture
def label() -> bytes:
    return b"message-%d" % next(_number)


def marked(label: bytes) -> bytes:
    return HELLO.replace(b"hello", label).replace(b"Subject: test", b"Subject: test " + label)


class Peer:
    """A server that can be down, and an instance that sends everything through it."""

    def __init__(self, **settings: object) -> None:
        self.sink = SmtpSink()
        self.refused = f"connect to {self.sink.address}[{self.sink.address}]:{self.sink.port}: Connection refused"
        self.mail = Instance(users=USERS, settings={"relayhost": self.sink.nexthop, **settings})

    def __enter__(self) -> Peer:
        self.mail.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.mail.__exit__(None, None, None)
        self.sink.stop()

    def waits(self) -> bool:
        """Whether all that is in the queue has been tried and waits."""
        deferred = {path.name for path in (self.mail.root / "spool" / "deferred").rglob("*") if path.is_file()}
        return bool(deferred) and deferred == set(self.mail.queue_ids())

    def taken(self, label: bytes) -> list[bytes]:
        return [message.content for message in self.sink.messages if label in message.content]

    def returned(self, label: bytes, count: int = 1) -> Message:
        """The notification that Bob gets about the marked message."""
        return parsed(only(lambda: [each for each in self.mail.mailbox(BOB) if label in each], self.mail, count))


@pytest.fixture(scope="module")
def patient() -> Iterator[Peer]:
    """Nothing is tried again by itself within a test."""
    with Peer() as made:
        yield made


@pytest.fixture
def peer(patient: Peer) -> Iterator[Peer]:
    """The same for one test: the server is down at first, the queue is empty at first and in the end."""
    patient.sink.messages.clear()
    patient.sink.replies.clear()
    yield patient
    patient.sink.stop()
    if patient.mail.queue_ids():
        patient.mail.run(["postsuper", "-d", "ALL"], check=True)


def test_the_message_waits_in_deferred(peer: Peer) -> None:
    send(peer.mail, EVE)
    peer.mail.wait_for(peer.waits)
    (queue_id,) = peer.mail.queue_ids()
    assert peer.mail.log_matching(
        rf"smtp\[\d+\]: {queue_id}: to=<{EVE}>, relay=none, delay=[\d.]+, delays=[\d./]+, dsn=4\.4\.1, "
        rf"status=deferred \({re.escape(peer.refused)}\)"
    )


def test_mailq_shows_it_with_the_reason_as_postfix_does(peer: Peer) -> None:
    send(peer.mail, EVE)
    peer.mail.wait_for(peer.waits)
    (queue_id,) = peer.mail.queue_ids()
    lines = peer.mail.run(["mailq"], check=True).stdout.splitlines()
    assert lines[0] == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
    assert re.fullmatch(
        rf"{queue_id:<17} {'':5}\d{{3}} \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d carol@example\.com", lines[1]
    ), lines[1]
    assert lines[2] == f"({peer.refused})".rjust(78)
    assert lines[3] == " " * 47 + EVE
    assert lines[4] == ""
    assert re.fullmatch(r"-- \d+ Kbytes in 1 Request\.", lines[5])
    assert len(lines) == 6


def test_an_empty_queue_is_called_empty(peer: Peer) -> None:
    peer.mail.wait_for(lambda: peer.mail.run(["mailq"], check=True).stdout == "Mail queue is empty\n")


def test_it_goes_out_with_a_flush_when_the_server_is_back(peer: Peer, label: bytes) -> None:
    send(peer.mail, EVE, marked(label))
    peer.mail.wait_for(peer.waits)
    peer.sink.start()
    peer.mail.run(["pillarbox", "flush"], check=True)
    peer.mail.wait_for(lambda: peer.taken(label))
    peer.mail.wait_for(lambda: not peer.mail.queue_ids())
    assert len(peer.taken(label)) == 1


def test_a_flush_while_the_server_is_still_down_changes_nothing(peer: Peer) -> None:
    send(peer.mail, EVE)
    peer.mail.wait_for(peer.waits)
    before = len(peer.mail.log_matching("status=deferred"))
    peer.mail.run(["pillarbox", "flush"], check=True)
    peer.mail.wait_for(lambda: len(peer.mail.log_matching("status=deferred")) > before)
    peer.mail.wait_for(peer.waits)


def test_a_waiting_message_survives_a_stop(peer: Peer, label: bytes) -> None:
    send(peer.mail, EVE, marked(label))
    peer.mail.wait_for(peer.waits)
    peer.mail.stop()
    peer.mail.start()
    peer.sink.start()
    peer.mail.run(["pillarbox", "flush"], check=True)
    peer.mail.wait_for(lambda: peer.taken(label))


def test_only_the_recipients_that_were_put_off_are_tried_again(peer: Peer, label: bytes) -> None:
    other = "frank@example.net"
    peer.sink.replies["rcpt"] = {other: "450 4.2.1 come back later"}
    peer.sink.start()
    send(peer.mail, [EVE, other], marked(label))
    peer.mail.wait_for(peer.waits)
    assert "450 4.2.1 come back later" in peer.mail.run(["mailq"]).stdout
    peer.sink.replies.clear()
    peer.mail.run(["pillarbox", "flush"], check=True)
    peer.mail.wait_for(lambda: not peer.mail.queue_ids())
    assert [message.recipients for message in peer.sink.messages] == [[EVE], [other]]


def test_a_server_that_closes_in_mid_message_gets_it_again(peer: Peer, label: bytes) -> None:
    peer.sink.replies["content"] = "<drop>"
    peer.sink.start()
    send(peer.mail, EVE, marked(label))
    peer.mail.wait_for(peer.waits)
    assert peer.mail.log_matching(r"lost connection with .* while sending end of data")
    peer.sink.replies.clear()
    peer.sink.messages.clear()
    peer.mail.run(["pillarbox", "flush"], check=True)
    peer.mail.wait_for(lambda: peer.taken(label))


# Notifications


def status_fields(report: Message) -> tuple[Message, list[Message]]:
    """The per-message fields and the fields of each recipient (RFC 3464 section 2.1)."""
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    part = report.get_payload(1)
    assert isinstance(part, Message)
    assert part.get_content_type() == "message/delivery-status"
    message, *recipients = [group for group in part.get_payload() if isinstance(group, Message)]
    return message, recipients


def text_of(report: Message) -> str:
    part = report.get_payload(0)
    assert isinstance(part, Message)
    return " ".join(str(part.get_payload()).split())


def original(report: Message) -> tuple[str, Message]:
    """The type of the third part, and the original message in it."""
    part = report.get_payload(2)
    assert isinstance(part, Message)
    inner = part.get_payload(0) if part.is_multipart() else parsed(str(part.get_payload()).encode())
    assert isinstance(inner, Message)
    return part.get_content_type(), inner


def refused(peer: Peer, label: bytes, options: list[str] | None = None, sender: list[str] | None = None) -> None:
    """Send Eve a message from Bob that the server refuses for ever."""
    peer.sink.replies["rcpt"] = {EVE: "550 5.1.1 no such person here"}
    peer.sink.start()
    with client(peer.mail) as session:
        session.ehlo()
        assert session.mail(BOB, sender or [])[0] == 250
        assert session.rcpt(EVE, options or [])[0] == 250
        assert session.data(marked(label))[0] == 250


def test_a_refused_message_comes_back_at_once(peer: Peer, label: bytes) -> None:
    refused(peer, label)
    report = peer.returned(label)
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@mx.example.org>"
    assert (report["To"], report["Subject"]) == (BOB, "Undelivered Mail Returned to Sender")
    assert report["Return-Path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"


def test_the_notification_tells_people_why(peer: Peer, label: bytes) -> None:
    refused(peer, label)
    text = text_of(peer.returned(label))
    assert f"<{EVE}>" in text
    assert "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such person here (in reply to RCPT TO command)" in text


def test_the_notification_tells_programs_why(peer: Peer, label: bytes) -> None:
    refused(peer, label)
    message, (recipient,) = status_fields(peer.returned(label))
    assert message["Reporting-MTA"] == "dns; mx.example.org"
    assert message["Arrival-Date"]
    assert recipient["Last-Attempt-Date"]
    del recipient["Last-Attempt-Date"]
    assert dict(recipient.items()) == {
        "Final-Recipient": f"rfc822; {EVE}",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; 127.0.0.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such person here",
    }


def test_the_notification_holds_the_original(peer: Peer, label: bytes) -> None:
    refused(peer, label)
    kind, message = original(peer.returned(label))
    assert kind == "message/rfc822"
    assert (message["Subject"], str(message.get_payload()).strip()) == (f"test {label.decode()}", label.decode())


def test_ret_hdrs_leaves_the_text_out(peer: Peer, label: bytes) -> None:
    peer.sink.replies["rcpt"] = {EVE: "550 5.1.1 no"}
    peer.sink.start()
    with client(peer.mail) as session:
        session.ehlo()
        assert session.mail(BOB, ["RET=HDRS", "ENVID=hdrs-1"])[0] == 250
        assert session.rcpt(EVE)[0] == 250
        assert session.data(b"Subject: %s\r\n\r\nsecret text\r\n" % label)[0] == 250
    report = peer.returned(label)
    kind, message = original(report)
    assert kind == "text/rfc822-headers"
    assert message["Subject"] == label.decode()
    assert "secret text" not in report.as_string()
    assert status_fields(report)[0]["Original-Envelope-Id"] == "hdrs-1"


def test_the_notification_names_the_original_recipient(peer: Peer, label: bytes) -> None:
    refused(peer, label, ["ORCPT=rfc822;Eve+2Bx@old.example"])
    _, (recipient,) = status_fields(peer.returned(label))
    assert recipient["Original-Recipient"] == "rfc822; Eve+x@old.example"


def test_notify_never_means_no_notification(peer: Peer, label: bytes) -> None:
    refused(peer, label, ["NOTIFY=NEVER"])
    peer.mail.wait_for(lambda: peer.mail.log_matching(rf"to=<{EVE}>.*status=bounced"))
    peer.mail.wait_for(lambda: not peer.mail.queue_ids())
    assert not [each for each in peer.mail.mailbox(BOB) if label in each]


def test_a_null_sender_gets_no_notification(peer: Peer, label: bytes) -> None:
    peer.sink.replies["rcpt"] = {EVE: "550 5.1.1 no"}
    peer.sink.start()
    send(peer.mail, EVE, marked(label), sender="")
    peer.mail.wait_for(lambda: not peer.mail.queue_ids())
    assert not [each for each in peer.mail.mailbox(BOB) if label in each]
    assert not peer.taken(label)


def test_notify_success_is_answered_when_a_mailbox_has_it(peer: Peer, label: bytes) -> None:
    with client(peer.mail) as session:
        session.ehlo()
        transaction(session, BOB, [BOB], ["NOTIFY=SUCCESS"])
        assert session.data(marked(label))[0] == 250
    peer.mail.wait_for(lambda: len([each for each in peer.mail.mailbox(BOB) if label in each]) == 2)
    reports = [parsed(each) for each in peer.mail.mailbox(BOB) if label in each and b"multipart/report" in each]
    _, (recipient,) = status_fields(reports[0])
    assert (recipient["Action"], recipient["Status"][0]) == ("delivered", "2")


def test_notify_is_passed_on_to_a_server_that_knows_it(peer: Peer, label: bytes) -> None:
    peer.sink.start()
    with client(peer.mail) as session:
        session.ehlo()
        assert session.mail(BOB, ["RET=HDRS", "ENVID=abc"])[0] == 250
        assert session.rcpt(EVE, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;eve@old.example"])[0] == 250
        assert session.data(marked(label))[0] == 250
    peer.mail.wait_for(lambda: peer.taken(label))
    (message,) = peer.sink.received(EVE)
    assert {"RET=HDRS", "ENVID=abc"} <= set(message.sender_parameters.split())
    assert set(message.recipient_parameters[0].split()) == {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;eve@old.example"}


def test_notify_success_is_answered_where_the_next_server_does_not_know_it(peer: Peer, label: bytes) -> None:
    capabilities = peer.sink.capabilities
    peer.sink.capabilities = tuple(each for each in capabilities if each != "DSN")
    peer.sink.start()
    try:
        with client(peer.mail) as session:
            session.ehlo()
            transaction(session, BOB, [EVE], ["NOTIFY=SUCCESS"])
            assert session.data(marked(label))[0] == 250
        _, (recipient,) = status_fields(peer.returned(label))
    finally:
        peer.sink.capabilities = capabilities
    assert recipient["Action"] == "relayed"


def test_a_bounce_that_cannot_be_delivered_ends(peer: Peer, label: bytes) -> None:
    peer.sink.replies["rcpt"] = "550 5.1.1 nobody at all"
    peer.sink.start()
    send(peer.mail, EVE, marked(label), sender="mallory@example.net")
    peer.mail.wait_for(lambda: peer.mail.log_matching(r"to=<mallory@example\.net>.*status=bounced"))
    peer.mail.wait_for(lambda: not peer.mail.queue_ids())


# By itself


@pytest.fixture(scope="module")
def hasty() -> Iterator[Peer]:
    often = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}
    with Peer(**often, delay_warning_time="1s", transport_retry_time="1s") as made:
        yield made


def test_it_goes_out_by_itself_when_the_server_is_back(hasty: Peer, label: bytes) -> None:
    send(hasty.mail, EVE, marked(label))
    hasty.mail.wait_for(hasty.waits)
    with hasty.sink:
        hasty.mail.wait_for(lambda: hasty.taken(label))
        hasty.mail.wait_for(lambda: not hasty.mail.queue_ids())


def test_the_sender_is_told_once_that_a_message_is_late(hasty: Peer, label: bytes) -> None:
    send(hasty.mail, EVE, marked(label), sender=BOB)
    report = hasty.returned(label)
    assert report["Subject"] == "Delayed Mail (still being retried)"
    _, (recipient,) = status_fields(report)
    assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.4.1")
    assert recipient["Will-Retry-Until"]
    before = len(hasty.mail.log_matching("status=deferred"))
    hasty.mail.wait_for(lambda: len(hasty.mail.log_matching("status=deferred")) >= before + 2)
    with hasty.sink:
        hasty.mail.wait_for(lambda: hasty.taken(label))
        hasty.mail.wait_for(lambda: not hasty.mail.queue_ids())
    assert len([each for each in hasty.mail.mailbox(BOB) if label in each]) == 1


def test_after_its_lifetime_a_message_comes_back(label: bytes) -> None:
    settings = {
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "1s",
        "queue_run_delay": "1s",
        "maximal_queue_lifetime": "1s",
        "transport_retry_time": "1s",
    }
    with Peer(**settings) as peer:
        send(peer.mail, EVE, marked(label), sender=BOB)
        report = peer.returned(label)
        _, (recipient,) = status_fields(report)
        assert (recipient["Action"], recipient["Status"]) == ("failed", "4.4.1")
        assert " ".join(recipient["Diagnostic-Code"].split()) == f"X-Pillarbox; {peer.refused}"
        assert peer.refused in text_of(report)
        assert peer.mail.log_matching(r"qmgr\[\d+\]: \w+: from=<bob@example\.org>, status=expired, returned to sender")
        peer.mail.wait_for(lambda: not peer.mail.queue_ids())
