"""Whatever a server does wrong, no message is lost: it is sent, waits, or comes back, as the fault deserves.

One instance has a message for each misbehaviour that the laboratory knows, all at once, each on an address of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.misbehaviour import BEHAVIOURS, misbehaving
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink

BOB = "bob@example.org"
MAIL = b"Subject: x\r\n\r\n" + "hellö\r\n".encode() * 500

TIMEOUTS = ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit", "starttls")
"""Each two seconds instead of minutes: what hangs is to be given up within the test."""

SENT = {
    "slow", "tarpit", "greeting-multiline", "no-ehlo", "one-message", "one-recipient",
    "drop-rset", "reset-rset", "hang-rset", "drop-quit", "reset-quit", "hang-quit",
    "lie-smtputf8", "lie-chunking",  # not needed by this message
    "tls-garbage", "tls-close", "tls-cut", "tls-stall", "tls-refused", "tls-injected",
    "tls-wrong-certificate", "tls-expired", "tls-hidden",
    "without-pipelining", "without-8bitmime", "without-smtputf8", "without-chunking", "without-size", "without-dsn",
}  # fmt: skip
RETURNED = {"early-data", "lie-size", "lie-8bitmime", "lie-dsn"}
"""The server has refused with 5xx what it was asked."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, SmtpSink]]:
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: mail exchangers are on port 25")
    with contextlib.ExitStack() as stack:
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        found = {}
        for name in BEHAVIOURS:
            options = {"pace": 0.002} if name == "tarpit" else {}
            sink = misbehaving(name, authority=authority, address=loopback_address(), port=25, **options)
            found[name] = stack.enter_context(sink)
        yield found


@pytest.fixture(scope="module")
def mail(servers: dict[str, SmtpSink]) -> Iterator[Instance]:
    zone = "".join(mail_zone(f"{name}.test", sink.address) for name, sink in servers.items())
    settings = {f"smtp_{name}_timeout": "2s" for name in TIMEOUTS}
    with (
        DnsServer(zone) as dns,
        Instance(users={BOB: "secret"}, settings={"dns_resolver": dns.resolver, **settings}) as instance,
    ):
        with smtplib.SMTP(instance.address, instance.port("smtp"), timeout=30) as client:
            for name in servers:
                client.sendmail(BOB, [f"eve@{name}.test"], MAIL, ["BODY=8BITMIME", "RET=HDRS"])
        yield instance


def outcome(mail: Instance, name: str) -> str:
    found = re.search(rf"to=<eve@{re.escape(name)}\.test>.* status=(\w+)", "\n".join(mail.log_lines()))
    return found[1] if found else ""


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_message_is_sent_waits_or_comes_back(mail: Instance, servers: dict[str, SmtpSink], name: str) -> None:
    expected = "sent" if name in SENT else "bounced" if name in RETURNED else "deferred"
    mail.wait_for(lambda: outcome(mail, name), 60)
    assert outcome(mail, name) == expected, mail.log_matching(rf"eve@{name}\.test|{name}\.test\[")
    taken = len(servers[name].received(f"eve@{name}.test"))
    if expected == "sent":
        assert taken == 1
    elif expected == "bounced":
        mail.wait_for(lambda: any(f"eve@{name}.test".encode() in each for each in mail.mailbox(BOB)))
    else:
        # Where the reply to the content was lost the server has it; the message waits all the same.
        assert taken == (name in ("drop-content", "reset-content", "hang-content", "wrong-code"))
        if name == "wrong-code":  # what goes with DATA, which was already on its way, is nothing (RFC 2920 section 3.1)
            assert servers[name].messages[0].content == b""
        deferred = mail.root / "spool" / "deferred"
        ids = {line.split(": ")[1] for line in mail.log_matching(rf"to=<eve@{name}\.test>.*status=deferred")}
        mail.wait_for(lambda: ids & {path.name for path in deferred.iterdir()})  # some time after the line
