"""Rewriting in a running instance: `pillarbox route` foretells it, others see outer names, bounces come back."""

from __future__ import annotations

import itertools
import re
import smtplib
from collections.abc import Iterator

import pytest

from pillarbox.commands.route import decisions
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import load
from tests.e2e.wire import BOB, EVE, HELLO, send
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink

HOST = "mx.example.org"
SETTINGS = {
    "virtual_alias_domains": "alias.test",
    "virtual_alias_maps": "inline:{{sales@example.org = bob@example.org, eve@example.net}, "
    "fwd@example.org=eve@example.net, "
    "@alias.test=bob@example.org, one@alias.test=two@alias.test, two@alias.test=three@example.net}",
    "recipient_canonical_maps": "inline:{old@example.org=bob@example.org}",
    "masquerade_domains": "example.org",
    "recipient_delimiter": "+",
    "recipient_bcc_maps": "inline:{watched@example.net=watcher@example.net}",
    "relocated_maps": "inline:{gone@example.org=mars}",
    "transport_maps": "inline:{trash.test=discard:, {no.test = error:5.7.1 no mail there}}",
    "smtp_generic_maps": f"inline:{{@{HOST}=@outer.test}}",
    "smtp_header_checks": "inline:{{X-Secret: yes = IGNORE}}",
    "srs_domain": "example.org",
    "alias_maps": "inline:{ext=eve@example.net}",
    "alias_database": "",
}
_number = itertools.count()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    instance = Instance(users={BOB: "secret"}, settings=SETTINGS | {"relayhost": sink.nexthop})
    try:
        instance.init()
        secret = instance.config / "srs.secret"
        secret.write_text("this is a secret of ours\n")
        secret.chmod(0o600)
        instance.start()
        yield instance
        instance.show_log()
    finally:
        instance.close()


ADDRESSES = (
    *(BOB, "sales@example.org", "fwd@example.org", "old@example.org", "old+x@example.org", "any@alias.test"),
    *("one@alias.test", EVE, "watched@example.net", f"eve%example.net@{HOST}", "example.net!eve", "x@trash.test"),
    *("x@no.test", "gone@example.org", "BOB@Example.ORG", "bob+folder@example.org"),
)
BUILT_IN = ("error", "discard")
LINE = re.compile(r"pillarbox/(\w+)\[\d+\]: (\w+): to=<([^>]*)>, .*status=\w+ \((.*)\)$")


def test_route_foretells_what_happens(mail: Instance, sink: SmtpSink) -> None:
    config = load(str(mail.config))
    lookup = LookupClient(config)
    foretold: dict[str, set[tuple[str, str]]] = {}
    sender = "s@host.example.org"
    for number, address in enumerate(ADDRESSES):
        steps = list(decisions(config, lookup, address, sender))
        foretold[f"m{number}"] = {
            (step.about, step.decided.partition(":")[0]) for step in steps if step.step == "transport"
        }
        text = f"Message-ID: <m{number}@route.test>\nSubject: x\n\nx\n"
        if steps[0].decided.startswith(("error", "unknown")):  # port 25 refuses it
            mail.run(["sendmail", "-f", sender, address], input=text, check=True)
        else:
            send(mail, address, text.replace("\n", "\r\n").encode(), sender=sender)
    lookup.close()
    happened: dict[str, set[tuple[str, str]]] = {}

    def all_done() -> bool:
        lines = "\n".join(mail.log_lines())
        ids = dict(re.findall(r"(\w+): message-id=<(m\d+)@route.test>", lines))
        done = set(re.findall(r"qmgr\[\d+\]: (\w+): removed", lines)) & ids.keys()
        if {ids[one] for one in done} < foretold.keys():
            return False
        for program, queue_id, address, _ in (match.groups() for match in map(LINE.search, mail.log_lines()) if match):
            if queue_id in ids:
                happened.setdefault(ids[queue_id], set()).add((address, program))
        return True

    mail.wait_for(all_done)
    for name, ways in foretold.items():
        programs = {(address, "qmgr" if transport in BUILT_IN else transport) for address, transport in ways}
        assert happened[name] == programs, name


def test_others_see_names_of_the_outside(mail: Instance, sink: SmtpSink) -> None:
    text = f"From: Ann <ann@{HOST}>\nTo: carl@example.net\nX-Secret: yes\nSubject: names\n\nann@{HOST}\n"
    mail.run(["sendmail", "-f", f"root@{HOST}", "carl@example.net"], input=text, check=True)
    mail.wait_for(lambda: sink.received("carl@example.net"))
    (message,) = sink.received("carl@example.net")
    assert message.sender == "root@example.org", "masqueraded when it was queued"
    assert b"From: Ann <ann@example.org>\r\n" in message.content
    assert b"X-Secret" not in message.content
    assert f"ann@{HOST}".encode() in message.content.partition(b"\r\n\r\n")[2], "the body is nobody's business"


@pytest.mark.parametrize("way", ["fwd@example.org", f"ext@{HOST}"])
def test_a_bounce_of_mail_sent_on_comes_back_to_its_sender(mail: Instance, sink: SmtpSink, way: str) -> None:
    stranger = f"s{next(_number)}@stranger.test"
    send(mail, way, HELLO, sender=stranger)
    name = stranger.partition("@")[0]

    def senders() -> set[str]:
        return {one.sender for one in sink.received(EVE) if f"={name}@" in one.sender}

    mail.wait_for(senders)
    (sender,) = senders()
    assert sender.startswith("SRS0=") and sender.endswith(f"=stranger.test={name}@example.org")
    send(mail, sender, HELLO, sender="")
    mail.wait_for(lambda: sink.received(stranger))
    assert [one.sender for one in sink.received(stranger)] == [""]
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mail, sender.replace(f"={name}@", "=victim@"), HELLO, sender="")
    assert next(iter(refused.value.recipients.values()))[0] == 550


def test_our_own_mail_keeps_its_sender(mail: Instance, sink: SmtpSink) -> None:
    before = len(sink.received(EVE))
    send(mail, "fwd@example.org", HELLO, sender=BOB)
    mail.wait_for(lambda: len(sink.received(EVE)) > before)
    assert sink.received(EVE)[-1].sender == BOB


def test_check_finds_nothing_amiss(mail: Instance) -> None:
    found = mail.run(["pillarbox", "check"])
    assert "srs" not in found.stderr and "smtp_generic" not in found.stderr, found.stderr
