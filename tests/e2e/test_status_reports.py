"""`sendmail -bv`, `-v` and VERP, through a running instance."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from email.message import Message
from types import SimpleNamespace

import pytest

from tests.e2e.wire import BOB, only, parsed
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

HOST = "mx.example.org"
ALICE, ANN, LIST = "alice@example.org", "ann@example.org", "owner@example.org"

_number = itertools.count()


def verdict(argument: str) -> str:
    if argument.startswith("no"):
        return "550 5.1.1 no such user"
    return "450 4.2.0 come back later" if argument.startswith("later") else "250 2.1.5 gladly"


@pytest.fixture(scope="module")
def site() -> Iterator[SimpleNamespace]:
    users = dict.fromkeys((BOB, ALICE, ANN, LIST), "secret")
    with SmtpSink() as sink:
        sink.replies["rcpt"] = verdict
        settings = {
            "relayhost": sink.nexthop,
            "virtual_alias_maps": "inline:{ { both@v.test = alice@example.org, ok@far.test } }",
            "virtual_alias_domains": "v.test",
            "recipient_delimiter": "+",
        }
        mail = Instance(hostname=HOST, users=users, settings=settings)
        mail.init()
        aliases = mail.config / "aliases"
        lines = ['program: "|cat >/tmp/must-not-exist"', f"pair: {ALICE}, ok@far.test", "archive: /tmp/must-not-exist"]
        aliases.write_text(aliases.read_text() + "\n".join(lines) + "\n")
        try:
            mail.run(["newaliases"], check=True)
            mail.start()
            yield SimpleNamespace(mail=mail, sink=sink)
        finally:
            mail.show_log()
            mail.close()


def outcomes(report: Message) -> dict[str, tuple[str, str]]:
    """What the machine's part says of each recipient."""
    parts = report.get_payload()
    assert isinstance(parts, list)
    groups = parts[1].get_payload()
    assert isinstance(groups, list)
    return {
        str(one["Final-Recipient"]).partition("; ")[2]: (str(one["Action"]), str(one["Status"])) for one in groups[1:]
    }


def words(report: Message) -> str:
    parts = report.get_payload()
    assert isinstance(parts, list)
    return " ".join(str(parts[0].get_payload()).split())


def reports(mail: Instance, box: str, mark: str) -> list[bytes]:
    return [each for each in mail.mailbox(box) if mark.encode() in each]


def verify(site: SimpleNamespace, *recipients: str) -> tuple[Message, str]:
    """`sendmail -bv`; the report, and the id of what was verified."""
    before = len(site.mail.mailbox(BOB))
    result = site.mail.run(["sendmail", "-bv", "-f", BOB, *recipients], input="", check=True)
    assert result.stdout == f"Mail Delivery Status Report will be mailed to <{BOB}>.\n"
    report = parsed(only(lambda: site.mail.mailbox(BOB), site.mail, before + 1))
    assert report["Subject"] == "Mail Delivery Status Report"
    match = re.search(r"X-Pillarbox-Queue-ID: (\S+)", report.as_string())
    assert match is not None
    return report, match[1]


def test_bv_says_what_would_be_done_and_does_nothing(site: SimpleNamespace) -> None:
    report, queue_id = verify(site, ALICE, "ok@far.test", "no@far.test", "later@far.test", f"program@{HOST}")
    assert outcomes(report) == {
        ALICE: ("deliverable", "2.0.0"),
        "ok@far.test": ("deliverable", "2.1.5"),
        "no@far.test": ("undeliverable", "5.1.1"),
        "later@far.test": ("undeliverable", "4.2.0"),
        f"program@{HOST}": ("deliverable", "2.0.0"),
    }
    text = words(report)
    assert "250 2.1.5 gladly" in text
    assert "550 5.1.1 no such user" in text
    assert "delivers to maildir" in text
    assert "delivers to command: cat >/tmp/must-not-exist" in text
    assert site.mail.log_matching(rf"{queue_id}: to=<ok@far\.test>, .* status=deliverable \(250 2\.1\.5 gladly\)")
    assert not site.mail.mailbox(ALICE)
    assert not site.sink.messages
    site.mail.wait_for(lambda: not site.mail.queue_ids())


def test_bv_shows_what_an_alias_stands_for(site: SimpleNamespace) -> None:
    report, _ = verify(site, "both@v.test")
    assert outcomes(report) == {ALICE: ("deliverable", "2.0.0"), "ok@far.test": ("deliverable", "2.1.5")}
    assert f"<{ALICE}> (expanded from <both@v.test>)" in words(report)


def test_bv_follows_local_aliases_with_a_report_of_their_own(site: SimpleNamespace) -> None:
    before = len(site.mail.mailbox(BOB))
    site.mail.run(["sendmail", "-bv", "-f", BOB, f"pair@{HOST}"], input="", check=True)
    site.mail.wait_for(lambda: len(site.mail.mailbox(BOB)) >= before + 2)
    told: dict[str, tuple[str, str]] = {}
    for content in site.mail.mailbox(BOB)[before:]:
        told |= outcomes(parsed(content))
    assert told == {
        f"pair@{HOST}": ("expanded", "2.0.0"),
        ALICE: ("deliverable", "2.0.0"),
        "ok@far.test": ("deliverable", "2.1.5"),
    }
    assert not site.mail.mailbox(ALICE)


def test_v_tells_what_the_first_attempt_has_done(site: SimpleNamespace) -> None:
    mark = f"mark-{next(_number)}-"
    site.mail.run(
        ["sendmail", "-v", "-f", BOB, ANN, "later@far.test"], input=f"Subject: {mark}\n\nhello\n".encode(), check=True
    )
    report = parsed(only(lambda: reports(site.mail, BOB, mark), site.mail))
    assert report["Subject"] == "Mail Delivery Status Report"
    assert outcomes(report) == {ANN: ("delivered", "2.0.0"), "later@far.test": ("delayed", "4.2.0")}
    assert reports(site.mail, ANN, mark)
    site.mail.run(["postsuper", "-d", "ALL"], check=True)


def test_verp_brings_each_bounce_to_an_address_that_names_its_recipient(site: SimpleNamespace) -> None:
    mark = f"mark-{next(_number)}-"
    recipients = ["ok@far.test", "no1@far.test", "no2@far.test"]
    site.mail.run(
        ["sendmail", "-f", LIST, "-XV", *recipients], input=f"Subject: {mark}\n\nhello\n".encode(), check=True
    )
    site.mail.wait_for(lambda: len(reports(site.mail, LIST, mark)) >= 2)
    found = [parsed(each) for each in reports(site.mail, LIST, mark)]
    assert sorted((str(each["To"]), *outcomes(each)) for each in found) == [
        ("owner+no1=far.test@example.org", "no1@far.test"),
        ("owner+no2=far.test@example.org", "no2@far.test"),
    ]
    senders = {each.sender: each.recipients for each in site.sink.messages if mark.encode() in each.content}
    assert senders == {"owner+ok=far.test@example.org": ["ok@far.test"]}
