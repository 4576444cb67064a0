"""The classic commands against a running instance with messages in its queue."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, EVE, only, parsed
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

_number = itertools.count()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    """A server that is down until a test starts it."""
    made = SmtpSink()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared(sink: SmtpSink) -> Iterator[Instance]:
    with Instance(users={ALICE: "x", BOB: "x"}, settings={"relayhost": sink.nexthop}) as instance:
        yield instance


@pytest.fixture
def mail(shared: Instance, sink: SmtpSink) -> Iterator[Instance]:
    yield shared
    sink.stop()
    if shared.queue_ids():
        shared.run(["postsuper", "-d", "ALL"], check=True)
    shared.wait_for(lambda: not shared.queue_ids())


@pytest.fixture
def waiting(mail: Instance) -> str:
    """The id of a message from Alice to Eve that waits."""
    known = set(mail.queue_ids())
    text = b"Subject: waiting %d\n\nwaiting\n" % next(_number)
    mail.run(["sendmail", "-f", ALICE, EVE], input=text, check=True)

    def ids() -> list[str]:
        found = {path.name for path in (mail.root / "spool" / "deferred").rglob("*") if path.is_file()}
        return sorted(found - known)

    mail.wait_for(ids)
    (queue_id,) = ids()
    return queue_id


def state(mail: Instance, queue_id: str) -> str:
    """Which queue a message is in."""
    for line in mail.run(["postqueue", "-j"], check=True).stdout.splitlines():
        record = json.loads(line)
        if record["queue_id"] == queue_id:
            return str(record["queue_name"])
    return ""


def test_postqueue_p_is_mailq(mail: Instance, waiting: str) -> None:
    listing = mail.run(["postqueue", "-p"], check=True).stdout
    assert waiting in listing
    assert listing == mail.run(["mailq"], check=True).stdout
    assert listing == mail.run(["sendmail", "-bp"], check=True).stdout


def test_postqueue_j_tells_programs(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    (record,) = map(json.loads, mail.run(["postqueue", "-j"], check=True).stdout.splitlines())
    assert (record["queue_name"], record["queue_id"], record["sender"]) == ("deferred", waiting, ALICE)
    assert record["forced_expire"] is False
    assert record["recipients"] == [
        {"address": EVE, "delay_reason": f"connect to 127.0.0.1[127.0.0.1]:{sink.port}: Connection refused"}
    ]


def test_postqueue_f_sends_what_waits(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    sink.start()
    mail.run(["postqueue", "-f"], check=True)
    mail.wait_for(lambda: not mail.queue_ids())
    assert sink.received(EVE)


def test_postqueue_i_sends_one_message(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    sink.start()
    mail.run(["postqueue", "-i", waiting], check=True)
    mail.wait_for(lambda: not mail.queue_ids())


def test_sendmail_q_sends_what_waits(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    sink.start()
    mail.run(["sendmail", "-q"], check=True)
    mail.wait_for(lambda: not mail.queue_ids())


def test_postcat_q_shows_envelope_and_text(mail: Instance, waiting: str) -> None:
    shown = mail.run(["postcat", "-q", waiting], check=True).stdout
    assert re.search(rf"(?m)^\*\*\* ENVELOPE RECORDS deferred/{waiting} \*\*\*$", shown)
    assert re.search(rf"(?m)^sender: {ALICE}$", shown)
    assert re.search(rf"(?m)^recipient: {EVE}$", shown)
    assert "\n*** MESSAGE CONTENTS " in shown
    assert "\n\nwaiting\n" in shown


def test_postcat_b_shows_the_text_alone(mail: Instance, waiting: str) -> None:
    assert mail.run(["postcat", "-bq", waiting], check=True).stdout == "waiting\n"


def test_postcat_of_an_unknown_message_says_so(mail: Instance) -> None:
    done = mail.run(["postcat", "-q", "4jXFYl6dnjzKD6m"])
    assert done.returncode == 1
    assert "4jXFYl6dnjzKD6m" in done.stderr
    assert "Traceback" not in done.stderr


def test_postsuper_d_removes_a_message(mail: Instance, waiting: str) -> None:
    done = mail.run(["postsuper", "-d", waiting], check=True)
    assert f"postsuper: {waiting}: removed" in done.stderr
    assert "postsuper: Deleted: 1 message" in done.stderr
    assert mail.queue_ids() == []


def test_postsuper_h_holds_and_upper_h_releases(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    done = mail.run(["postsuper", "-h", waiting], check=True)
    assert "postsuper: Placed on hold: 1 message" in done.stderr
    assert state(mail, waiting) == "hold"
    assert f"{waiting}!" in mail.run(["mailq"], check=True).stdout
    sink.start()
    mail.run(["postqueue", "-f"], check=True)
    assert state(mail, waiting) == "hold"
    done = mail.run(["postsuper", "-H", waiting], check=True)
    assert "postsuper: Released from hold: 1 message" in done.stderr
    mail.run(["postqueue", "-f"], check=True)
    mail.wait_for(lambda: not mail.queue_ids())
    assert sink.received(EVE)


def test_postsuper_r_sends_a_message_where_it_would_go_now(mail: Instance, waiting: str, sink: SmtpSink) -> None:
    with SmtpSink() as other:
        mail.set("relayhost", other.nexthop)
        try:
            mail.stop()
            mail.start()
            done = mail.run(["postsuper", "-r", waiting], check=True)
            assert "postsuper: Requeued: 1 message" in done.stderr
            mail.wait_for(lambda: other.received(EVE))
        finally:
            mail.set("relayhost", sink.nexthop)
            mail.stop()
            mail.start()


def test_postsuper_e_returns_a_message_to_its_sender(mail: Instance, waiting: str) -> None:
    before = len(mail.mailbox(ALICE))
    done = mail.run(["postsuper", "-e", waiting], check=True)
    assert "postsuper: Force-expired: 1 message" in done.stderr
    mail.run(["postqueue", "-f"], check=True)
    report = parsed(only(lambda: mail.mailbox(ALICE)[before:], mail))
    assert report["Subject"] == "Undelivered Mail Returned to Sender"
    mail.wait_for(lambda: not mail.queue_ids())


def test_postsuper_reads_ids_from_standard_input(mail: Instance, waiting: str) -> None:
    mail.run(["postsuper", "-d", "-"], input=f"{waiting}\n", check=True)
    assert mail.queue_ids() == []


def test_postconf_tells_what_is_set(mail: Instance, sink: SmtpSink) -> None:
    assert mail.run(["postconf", "relayhost"], check=True).stdout == f"relayhost = {sink.nexthop}\n"
    assert mail.run(["postconf", "-h", "myhostname"], check=True).stdout == "mx.example.org\n"
    assert mail.run(["postconf", "-d", "queue_run_delay"], check=True).stdout == "queue_run_delay = 300s\n"
    assert f"relayhost = {sink.nexthop}\n" in mail.run(["postconf", "-n"], check=True).stdout


def test_postconf_e_changes_what_counts_after_a_reload(mail: Instance) -> None:
    mail.run(["postconf", "-e", "smtpd_banner=edited.test ESMTP"], check=True)
    try:
        mail.reload()

        def edited() -> bool:
            with mail.connect("smtp") as client:
                return client.recv(512).startswith(b"220 edited.test ESMTP")

        mail.wait_for(edited)
    finally:
        mail.run(["postconf", "-X", "smtpd_banner"], check=True)
        mail.reload()


def test_route_tells_where_mail_goes(mail: Instance, sink: SmtpSink) -> None:
    assert "virtual" in mail.run(["pillarbox", "route", BOB], check=True).stdout
    said = json.loads(mail.run(["pillarbox", "route", "--json", "-f", BOB, EVE], check=True).stdout)
    assert {"step": "transport", "about": EVE, "decided": f"smtp:{sink.nexthop}"} in said["decisions"]


def test_a_user_can_be_added_and_gets_mail(mail: Instance) -> None:
    address = "new@example.org"
    mail.run(["pillarbox", "user", "add", address], input="a password\na password\n", check=True)
    assert address in mail.run(["pillarbox", "user", "list"], check=True).stdout
    mail.run(["sendmail", "-f", ALICE, address], input=b"Subject: x\n\nwelcome\n", check=True)
    only(lambda: mail.mailbox(address), mail)


def test_postlog_writes_into_the_log(mail: Instance) -> None:
    mail.run(["postlog", "-t", "pillarbox/script", "it is done"], check=True)
    mail.wait_for(lambda: mail.log_matching(r"pillarbox/script\[\d+\]: it is done"))
