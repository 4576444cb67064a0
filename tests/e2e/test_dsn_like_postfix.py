"""Reports beside those of a real Postfix: the same mail, servers and failures give the same fields, codes and subjects.

The words for people differ, on purpose; what programs read does not.  Needs root, for Postfix.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message

import pytest

from tests.e2e.wire import parsed
from tests.lab.instance import Instance
from tests.lab.sinks import CAPABILITIES, SmtpSink
from tests.peers.postfix import Postfix

BOB, ALICE, POSTMASTER = "bob@example.org", "alice@example.org", "postmaster@example.org"


def verdict(argument: str) -> str:
    name = argument.partition("@")[0]
    return {
        "unknown": "550 5.1.1 <unknown>: no such user",
        "full": "552 5.2.2 mailbox full",
        "bare": "554 go away",
        "policy": "550-5.7.1 We do not like\n550 5.7.1 your message",
        "later": "450 4.2.1 come back later",
    }.get(name, "250 2.1.5 Ok")


@dataclass(frozen=True)
class Case:
    """One message: to whom, with which parameters."""

    recipients: tuple[str, ...]
    mail: tuple[str, ...] = ()
    rcpt: tuple[str, ...] = ()
    sender: str = BOB
    size: int = 5
    reports: int = 1


CASES = {
    "a refusal of the recipient": Case(("unknown@plain.test",)),
    "a refusal without an enhanced code": Case(("bare@plain.test",)),
    "a reply of two lines": Case(("policy@plain.test",)),
    "several failures in one report": Case(("unknown@plain.test", "full@plain.test", "bare@plain.test")),
    "ENVID and ORCPT": Case(("unknown@plain.test",), ("ENVID=QQ1",), ("ORCPT=rfc822;Orig@sender.test",)),
    "RET=HDRS": Case(("unknown@plain.test",), ("RET=HDRS",)),
    "RET=FULL": Case(("unknown@plain.test",), ("RET=FULL",)),
    "a big message comes back as header": Case(("unknown@plain.test",), size=60_000),
    "relayed": Case(("ok@plain.test",), rcpt=("NOTIFY=SUCCESS",)),
    "delivered": Case((ALICE,), rcpt=("NOTIFY=SUCCESS",)),
    "an alias of one that fails": Case(("gone@v.test",), rcpt=("ORCPT=rfc822;Orig@sender.test",)),
    "an alias of several": Case(("many@v.test",), rcpt=("NOTIFY=SUCCESS",)),
    "an alias of several, one fails": Case(("some@v.test",), rcpt=("NOTIFY=SUCCESS,FAILURE",), reports=2),
    "success and failure": Case(("ok@plain.test", "unknown@plain.test"), rcpt=("NOTIFY=SUCCESS,FAILURE",), reports=2),
    "a delay": Case(("later@plain.test",)),
}
ALIAS = "an alias of one"
DIFFERENT = {ALIAS: Case(("one@v.test",), rcpt=("NOTIFY=SUCCESS",))}
SILENT = {
    "NEVER": Case(("unknown@plain.test",), rcpt=("NOTIFY=NEVER",)),
    "no success asked for": Case(("ok@plain.test",)),
    "a failure, success asked for": Case(("unknown@plain.test",), rcpt=("NOTIFY=SUCCESS",)),
    "a server that knows DSN": Case(("ok@dsn.test",), rcpt=("NOTIFY=SUCCESS",)),
    "the null sender": Case(("unknown@plain.test",), sender=""),
}

ALIASES = {
    "one@v.test": "ok@plain.test",
    "gone@v.test": "unknown@plain.test",
    "many@v.test": "ok@plain.test, ok2@plain.test",
    "some@v.test": "ok@plain.test, unknown@plain.test",
}


@dataclass
class Side:
    """One of the two servers."""

    address: str
    port: int
    host: str
    name: str
    mailbox: Callable[[str], list[bytes]]
    wait_for: Callable[[Callable[[], object]], None]

    def send(self, name: str, case: Case) -> None:
        with smtplib.SMTP(self.address, self.port, timeout=60) as session:
            session.ehlo("client.test")
            content = f"Subject: {mark(name)}\r\n\r\n".encode() + b"hello words\r\n" * (case.size // 13 + 1)
            assert session.mail(case.sender, list(case.mail))[0] == 250
            for recipient in case.recipients:
                assert session.rcpt(recipient, list(case.rcpt))[0] == 250
            assert session.data(content)[0] == 250

    def reports(self, name: str) -> list[Message]:
        """What came back about a message, in the order of the subjects."""
        found = [parsed(each) for each in self.mailbox(BOB) if mark(name).encode() in each]
        return sorted(found, key=lambda each: str(each["Subject"]))


def mark(name: str) -> str:
    return f"case-{[*CASES, *DIFFERENT, *SILENT].index(name)}-"


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    without = tuple(word for word in CAPABILITIES if word != "DSN")
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(SmtpSink(capabilities=without))
        dsn = stack.enter_context(SmtpSink())
        plain.replies["rcpt"] = verdict
        common = {
            "delay_warning_time": "1s",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "1s",
            "queue_run_delay": "1s",
            "virtual_alias_domains": "v.test",
            "notify_classes": "bounce",
            "bounce_notice_recipient": POSTMASTER,
        }
        transports = f"{{ plain.test = smtp:{plain.nexthop} }}, {{ dsn.test = smtp:{dsn.nexthop} }}"
        aliases = ", ".join(f"{{ {name} = {value} }}" for name, value in ALIASES.items())
        ours = stack.enter_context(
            Instance(
                users=dict.fromkeys((BOB, ALICE, POSTMASTER), "secret"),
                settings={
                    **common,
                    "transport_maps": f"inline:{{ {transports} }}",
                    "virtual_alias_maps": f"inline:{{ {aliases} }}",
                },
            )
        )
        theirs = stack.enter_context(
            Postfix(
                hostname="mx.example.org",
                mailboxes=[BOB, ALICE, POSTMASTER],
                parameters={
                    **common,
                    "transport_maps": f"inline:{{ {transports} }}",
                    "virtual_alias_maps": f"inline:{{ {aliases} }}",
                    "mynetworks": "127.0.0.0/8",
                },
            )
        )
        pair = (
            Side(ours.address, ours.port("smtp"), "mx.example.org", "Pillarbox", ours.mailbox, ours.wait_for),
            Side(theirs.address, theirs.port, "mx.example.org", "Postfix", theirs.mailbox, theirs.wait_for),
        )
        for side in pair:
            for name, case in {**SILENT, **DIFFERENT, **CASES}.items():
                side.send(name, case)
        for side in pair:
            for name, case in {**CASES, **DIFFERENT}.items():
                side.wait_for(lambda: len(side.reports(name)) >= case.reports)  # noqa: B023 - called at once
        yield pair


def about(report: Message) -> list[str]:
    """What programs read in a report, a line for each fact, without what has to differ."""
    parts = report.get_payload()
    assert isinstance(parts, list)
    groups = parts[1].get_payload()
    assert isinstance(groups, list)
    lines = [f"{name}: {report[name]}" for name in ("Subject", "From", "Auto-Submitted", "Return-Path")]
    lines.append(f"{report.get_content_type()} {report.get_param('report-type')}")
    lines += [f"part {part.get_content_type()} ({part['Content-Description']})" for part in parts]
    described = [sorted(filter(None, (_fact(*item, group) for item in group.items()))) for group in groups]
    lines += described[0]
    for recipient in sorted(described[1:]):
        lines += ["recipient", *recipient]
    return lines


def _fact(name: str, value: str, group: Message) -> str:
    if name == "Last-Attempt-Date":
        return ""  # Postfix does not say it
    if name == "Original-Recipient":
        value = value.replace(";", "; ").replace(";  ", "; ")
        if value == group["Final-Recipient"]:
            return ""  # Postfix says it where no ORCPT was given, too; RFC 3464 section 2.3.1 does not want that
    value = re.sub(r"ok taken \d+", "ok taken N", value).replace("delivery via virtual: ", "")
    value = "" if name.endswith(("-Date", "-Until", "Queue-ID")) else re.sub(r"\s+", " ", value)
    return re.sub(r"X-Postfix", "X-Pillarbox", f"{name}: {value}")


@pytest.mark.parametrize("name", CASES)
def test_programs_read_the_same(sides: tuple[Side, Side], name: str) -> None:
    ours, theirs = (side.reports(name) for side in sides)
    assert [about(each) for each in ours] == [about(each) for each in theirs]


def test_one_address_for_another_is_no_expansion(sides: tuple[Side, Side]) -> None:
    """Here Postfix says "expanded"; RFC 3461 section 5.2.7.1 has the request go on with the one address."""
    described = [[about(each) for each in side.reports(ALIAS)] for side in sides]
    assert ["Action: relayed" in described[0][0], "Action: expanded" in described[1][0]] == [True, True]
    assert "Final-Recipient: rfc822; ok@plain.test" in described[0][0]
    assert "Original-Recipient: rfc822; one@v.test" in described[0][0]


@pytest.mark.parametrize("name", SILENT)
def test_both_are_silent(sides: tuple[Side, Side], name: str) -> None:
    assert [len(side.reports(name)) for side in sides] == [0, 0]


def test_the_postmaster_gets_the_same_copies(sides: tuple[Side, Side]) -> None:
    found = []
    for side in sides:
        copies = [parsed(each) for each in side.mailbox(POSTMASTER) if b"case-" in each]
        found.append(
            sorted(
                (
                    str(each["Subject"]),
                    str(each["Return-Path"]),
                    *(part.get_content_type() for part in each.get_payload()),
                )  # type: ignore[union-attr, arg-type]
                for each in copies
            )
        )
    assert found[0] == found[1]
    assert len(found[0]) > 5
