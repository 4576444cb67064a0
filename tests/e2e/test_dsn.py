"""Who is told what: NOTIFY by outcome by kind of way, generated; each cell asserts the exact reports, or silence.

All messages of the matrix are sent first, to one running instance; the cells look at what came of theirs.  RFC 3461
section 4.1 says what each value asks for, section 5.2 what each way of handing over does with it.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest

from tests.e2e.wire import client, parsed
from tests.lab.instance import Instance
from tests.lab.sinks import CAPABILITIES, SmtpSink

HOST = "mx.example.org"
SENDER, OWNER, ALICE, ANN = "bob@example.org", "owner@example.org", "alice@example.org", "ann@example.org"
ORCPT = "rfc822;Orig@sender.test"

OUTCOMES = ("ok", "no", "later")
NOTIFY = ("", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "SUCCESS,DELAY", "SUCCESS,FAILURE,DELAY")

WAYS = {
    # name of the way: the outcomes that it can have
    "dsn": OUTCOMES,
    "plain": OUTCOMES,
    "lmtp": OUTCOMES,
    "mailbox": ("ok",),
    "virtual-one": OUTCOMES,
    "virtual-many": OUTCOMES,
    "alias-one": OUTCOMES,
    "alias-many": OUTCOMES,
    "alias-list": OUTCOMES,
    "alias-include": OUTCOMES,
    "alias-command": OUTCOMES,
    "alias-file": ("ok",),
}
CELLS = [(way, outcome, notify) for way, outcomes in WAYS.items() for outcome in outcomes for notify in NOTIFY]


def address(way: str, outcome: str) -> str:
    """Whom the message is sent to."""
    if way in ("dsn", "plain", "lmtp"):
        return f"{outcome}@{way}.test"
    if way == "mailbox":
        return ALICE
    return f"{way}-{outcome}@{'v.test' if way.startswith('virtual') else HOST}"


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient in a report: in whose mailbox the report is, and what it says."""

    box: str
    action: str
    final: str
    original: str = ORCPT.replace(";", "; ")


def expected(way: str, outcome: str, notify: str) -> set[Told]:
    """What RFC 3461 says about a cell."""
    asked = set(notify.split(",")) if notify else {"FAILURE", "DELAY"}
    to = address(way, outcome)
    many = way in ("virtual-many", "alias-many", "alias-include")
    one = way in ("virtual-one", "alias-one")
    finals = [f"{outcome}{n}@plain.test" for n in (1, 2)] if many else [f"{outcome}@plain.test" if one else to]
    told: set[Told] = set()
    if way == "alias-list":
        # The list takes the reports over (section 5.2.7.3): its members' are the owner's.
        if "SUCCESS" in asked:
            told.add(Told(SENDER, "delivered", to))
        action = {"no": "failed", "later": "delayed"}.get(outcome)
        if action:
            told |= {Told(OWNER, action, f"{outcome}{n}@plain.test", f"rfc822; {to}") for n in (1, 2)}
        return told
    if many and "SUCCESS" in asked:
        told.add(Told(SENDER, "expanded", to))
    if outcome == "ok" and "SUCCESS" in asked and not many and way != "dsn":
        local = way in ("mailbox", "alias-command", "alias-file")
        told.add(Told(SENDER, "delivered" if local else "relayed", finals[0]))
    if outcome == "no" and "FAILURE" in asked:
        told |= {Told(SENDER, "failed", final) for final in finals}
    if outcome == "later" and "DELAY" in asked:
        told |= {Told(SENDER, "delayed", final) for final in finals}
    return told


def subject(way: str, outcome: str, notify: str) -> str:
    return f"cell-{CELLS.index((way, outcome, notify))}-"


@dataclass
class Site:
    """The instance, its servers, and what came of the messages."""

    mail: Instance
    dsn: SmtpSink
    plain: SmtpSink
    lmtp: SmtpSink
    reports: dict[str, list[tuple[str, Message]]] = field(default_factory=lambda: defaultdict(list))
    _seen: set[Path] = field(default_factory=set)

    def told(self, cell: str) -> list[Told]:
        """All that the reports about a cell say."""
        return [
            Told(
                box,
                str(recipient["Action"]),
                str(recipient["Final-Recipient"]).partition("; ")[2],
                str(recipient["Original-Recipient"]),
            )
            for box, message in self.reports[cell]
            for recipient in fields(message)[1:]
        ]

    def collect(self) -> None:
        """Look at what has come since the last time."""
        for box in (SENDER, OWNER):
            for path in (self.mail.maildir(box) / "new").iterdir():
                if path in self._seen:
                    continue
                self._seen.add(path)
                content = path.read_bytes()
                message = parsed(content)
                match = re.search(r"cell-\d+-", content.decode())
                if message.get_content_type() == "multipart/report" and match:
                    self.reports[match[0]].append((box, message))


def fields(report: Message) -> list[Message]:
    """The groups of fields of the machine's part."""
    parts = report.get_payload()
    assert isinstance(parts, list)
    groups = parts[1].get_payload()
    assert isinstance(groups, list)
    return groups


def verdict(argument: str) -> str:
    if argument.startswith("no"):
        return "550 5.1.1 no such user"
    return "450 4.2.0 come back later" if argument.startswith("later") else "250 2.1.5 Ok"


def aliases(site: Instance) -> str:
    lines = []
    for outcome in OUTCOMES:
        one, many = f"{outcome}@plain.test", f"{outcome}1@plain.test, {outcome}2@plain.test"
        include = site.directory / f"include-{outcome}"
        include.write_text(f"{outcome}1@plain.test\n{outcome}2@plain.test\n")
        include.chmod(0o644)
        status = {"ok": 0, "no": 67, "later": 75}[outcome]
        lines += [
            f"alias-one-{outcome}: {one}",
            f"alias-many-{outcome}: {many}",
            f"alias-list-{outcome}: {many}",
            f"owner-alias-list-{outcome}: {OWNER}",
            f"alias-include-{outcome}: :include:{include}",
            f'alias-command-{outcome}: "|cat >/dev/null; exit {status}"',
        ]
    return "\n".join([*lines, "alias-file-ok: /dev/null", ""])


def settings(dsn: SmtpSink, plain: SmtpSink, lmtp: SmtpSink) -> dict[str, object]:
    virtual = [
        f"{{ virtual-one-{outcome}@v.test = {outcome}@plain.test }}, "
        f"{{ virtual-many-{outcome}@v.test = {outcome}1@plain.test, {outcome}2@plain.test }}"
        for outcome in OUTCOMES
    ]
    return {
        "transport_maps": "inline:{ "
        f"{{ dsn.test = smtp:{dsn.nexthop} }}, {{ plain.test = smtp:{plain.nexthop} }}, "
        f"{{ lmtp.test = lmtp:inet:{lmtp.address}:{lmtp.port} }} }}",
        "virtual_alias_maps": f"inline:{{ {', '.join(virtual)} }}",
        "virtual_alias_domains": "v.test",
        "local_command_shell": "/bin/sh",
        "delay_warning_time": "1s",
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "1s",
        "queue_run_delay": "1s",
        "default_destination_concurrency_limit": "20",
    }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    without = tuple(word for word in CAPABILITIES if word != "DSN")
    users = dict.fromkeys((SENDER, OWNER, ALICE, ANN), "secret")
    with SmtpSink() as dsn, SmtpSink(capabilities=without) as plain, SmtpSink(capabilities=without, lmtp=True) as lmtp:
        for sink in (dsn, plain, lmtp):
            sink.replies["rcpt"] = verdict
        mail = Instance(hostname=HOST, users=users, settings=settings(dsn, plain, lmtp))
        mail.init()
        path = mail.config / "aliases"
        path.write_text(path.read_text() + aliases(mail))
        try:
            mail.run(["newaliases"], check=True)
            mail.start()
            made = Site(mail, dsn, plain, lmtp)
            send_all(made)
            yield made
        finally:
            mail.show_log()
            mail.close()


def send_all(site: Site) -> None:
    """Send the matrix, and wait until all has happened that is to happen."""
    with client(site.mail) as session:
        session.ehlo()
        for way, outcome, notify in CELLS:
            name = subject(way, outcome, notify)
            options = [f"NOTIFY={notify}"] if notify else []
            code, said = session.mail(SENDER, [f"ENVID={name}", "RET=HDRS"])
            assert code == 250, said
            code, said = session.rcpt(address(way, outcome), [*options, f"ORCPT={ORCPT}"])
            assert code == 250, said
            code, said = session.data(f"Subject: {name}\r\n\r\nhello\r\n".encode())
            assert code == 250, said
    awaited = {subject(*cell): len(expected(*cell)) for cell in CELLS}

    def complete() -> bool:
        site.collect()
        return all(len(site.told(name)) >= count for name, count in awaited.items())

    def quiet() -> bool:
        """Nothing is on its way but what waits, and that has been tried often enough to have been reported."""
        waiting = site.mail.queue_ids()
        deferrals = "\n".join(site.mail.log_matching("status=deferred"))
        return all(deferrals.count(f" {queue_id}: ") >= 4 for queue_id in waiting)

    # A cell that never becomes complete fails by itself, and says what it lacks.
    try:
        site.mail.wait_for(complete, 60)
        site.mail.wait_for(quiet, 60)
    except AssertionError:
        pass
    site.collect()


@pytest.mark.parametrize(("way", "outcome", "notify"), CELLS)
def test_exactly_this_is_told(site: Site, way: str, outcome: str, notify: str) -> None:
    name = subject(way, outcome, notify)
    told = site.told(name)
    assert set(told) == expected(way, outcome, notify)
    assert len(told) == len(set(told)), "somebody is told twice"


@pytest.mark.parametrize(("way", "outcome", "notify"), CELLS)
def test_reports_name_the_message_and_keep_to_ret(site: Site, way: str, outcome: str, notify: str) -> None:
    name = subject(way, outcome, notify)
    for box, report in site.reports[name]:
        about = fields(report)[0]
        assert about["Reporting-MTA"] == f"dns; {HOST}"
        assert report["Return-Path"] == "<>"
        assert report["Auto-Submitted"] == "auto-replied"
        if box == SENDER:
            assert about["Original-Envelope-Id"] == name
            last = report.get_payload()
            assert isinstance(last, list)
            assert last[2].get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(("outcome", "notify"), list(itertools.product(OUTCOMES, NOTIFY)))
def test_a_server_that_knows_dsn_is_told_all(site: Site, outcome: str, notify: str) -> None:
    name = subject("dsn", outcome, notify)
    if outcome != "ok":
        return  # what is refused is no message
    (message,) = [each for each in site.dsn.messages if name.encode() in each.content]
    assert f"ENVID={name}" in message.sender_parameters
    assert "RET=HDRS" in message.sender_parameters
    asked = f"NOTIFY={notify} ORCPT=rfc822;Orig@sender.test" if notify else "ORCPT=rfc822;Orig@sender.test"
    assert message.recipient_parameters == [asked]


def test_a_server_without_dsn_is_told_nothing(site: Site) -> None:
    assert site.plain.messages
    assert not any(message.sender_parameters.count("ENVID") for message in site.plain.messages)
    assert not any(any(message.recipient_parameters) for message in site.plain.messages)


def test_a_list_sends_from_its_owner(site: Site) -> None:
    name = subject("alias-list", "ok", "SUCCESS").encode()
    assert [each.sender for each in site.plain.messages if name in each.content] == [f"owner-alias-list-ok@{HOST}"]
