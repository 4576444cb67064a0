"""Mail to a domain with an MTA-STS policy, through a running suite: delivered as the domain asks for, or waiting."""

from __future__ import annotations

import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.clock import VirtualClock
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink
from tests.lab.web import HANG, WebServer, ok

FAR, MX = "far.test", "mx.far.test"
POLICY = "version: STSv1\r\nmode: {}\r\nmx: {}\r\nmax_age: 1209600\r\n"
SENDER, RECIPIENT = "ann@example.org", f"eve@{FAR}"


class World:
    """far.test with DNS, web and mail server, all as they should be; and a suite that writes to it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.dns = DnsServer(mail_zone(FAR, "127.0.0.1", host=MX) + f"mta-sts.{FAR}. A 127.0.0.1")
        self.web = WebServer(self.authority.issue(f"mta-sts.{FAR}").server_context, lambda _: HANG)
        self.sink = SmtpSink(hostname=MX, certificate=self.authority.issue(MX))
        self.clock = VirtualClock()
        settings = {
            "dns_resolver": self.dns.resolver,
            "dns_cache_size": "0",  # its clock is real
            "smtp_tcp_port": str(self.sink.port),
            "smtp_tls_CAfile": str(self.authority.certificate),
            "smtp_host_lookup": "dns",
            "inet_interfaces": "127.0.0.1",
            "mta_sts_CAfile": str(self.authority.certificate),
            "mta_sts_tcp_port": str(self.web.port),
            "smtp_mta_sts_timeout": "3s",
            "smtp_tlsrpt_enable": "yes",
        }
        self.instance = Instance(clock=self.clock, users={SENDER: "secret"}, settings=settings)
        directory.chmod(0o755)

    def publish(self, identity: str, mode: str = "enforce", mx: str = MX) -> None:
        self.dns.remove(f"_mta-sts.{FAR}")
        self.dns.add(f'_mta-sts.{FAR}. TXT "v=STSv1; id={identity};"')
        text = POLICY.format(mode, mx).encode()
        self.web.respond = lambda _: ok(text, "text/plain")

    def send(self, fields: bytes = b"") -> None:
        with smtplib.SMTP(self.instance.address, self.instance.port("smtp"), timeout=30) as client:
            client.sendmail(SENDER, [RECIPIENT], b"Subject: test\r\n" + fields + b"\r\nhello\r\n")

    def delivered(self, number: int = 1) -> None:
        self.instance.wait_for(lambda: len(self.sink.received(RECIPIENT)) == number)

    def waits_beside(self, why: str) -> None:
        self.instance.wait_for(lambda: self.instance.log_matching(f"status=deferred.*{why}"))

    def waits(self, why: str) -> None:
        self.waits_beside(why)
        assert self.sink.received(RECIPIENT) == []

    def outcomes(self) -> list[tuple[int, int]]:
        """Successes and failures of each policy, as they are counted for the report."""
        path = self.instance.root / "state/tlsrpt/counts.sqlite"
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as counts:
                return counts.execute("SELECT success, failure FROM policy WHERE domain = ?", (FAR,)).fetchall()
        except sqlite3.OperationalError:  # it is being made
            return []

    def counted(self, *expected: tuple[int, int]) -> None:
        self.instance.wait_for(lambda: (self.instance.root / "state/tlsrpt/counts.sqlite").exists())
        self.instance.wait_for(lambda: self.outcomes() == list(expected))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.clock, made.dns, made.web, made.sink, made.instance:
        yield made


def test_a_policy_that_is_kept_to(world: World) -> None:
    world.publish("1")
    world.send()
    world.delivered()
    world.instance.wait_for(lambda: world.instance.log_matching(r"to=<eve@far\.test>.*status=sent"))
    assert world.instance.log_matching("MTA-STS policy of far.test: id=1 mode=enforce")
    assert world.sink.received(RECIPIENT)[0].tls
    world.counted((1, 0))


def test_a_server_that_cannot_prove_its_name_gets_nothing_until_the_domain_says_otherwise(world: World) -> None:
    world.publish("1")
    world.sink.certificate = world.authority.issue("other.test")
    world.send()
    world.waits("certificate")
    world.counted((0, 1))
    world.publish("2", "none")
    world.instance.run_until(lambda: world.sink.received(RECIPIENT), "2d")


def test_what_need_not_be_protected_goes_all_the_same_and_is_not_counted(world: World) -> None:
    """As a report on TLS does (RFC 8460 section 3, RFC 8689 section 4.2.2)."""
    world.publish("1")
    world.sink.certificate = world.authority.issue("other.test")
    world.send(b"TLS-Required: No\r\n")
    world.delivered()
    world.send()
    world.waits_beside("certificate")
    world.counted((0, 1))


def test_a_server_that_the_policy_does_not_name_gets_nothing(world: World) -> None:
    world.publish("1", mx="*.other.test")
    world.send()
    world.waits("is not one of the MTA-STS policy of far.test")
    world.counted((0, 1))


def test_nobody_can_take_the_policy_away(world: World) -> None:
    """RFC 8461 section 10.1: who can forge DNS and answer on port 25 gets nothing while the policy is remembered."""
    world.publish("1")
    world.send()
    world.delivered()
    world.instance.stop()
    world.dns.remove(f"_mta-sts.{FAR}")
    world.dns.remove(f"mta-sts.{FAR}")
    world.sink.certificate = None
    world.sink.messages.clear()
    world.instance.start()
    world.clock.advance("5d")
    world.send()
    world.waits("")


def test_under_test_mail_goes_and_failures_are_counted(world: World) -> None:
    world.publish("1", "testing")
    world.sink.certificate = world.authority.issue("other.test")
    world.send()
    world.delivered()
    world.instance.wait_for(lambda: any(failure for _, failure in world.outcomes()))


def test_a_web_server_that_hangs_holds_nothing_up_for_long(world: World) -> None:
    world.publish("1")
    world.web.respond = lambda _: HANG
    world.send()
    world.delivered()
    world.send()
    world.delivered(2)
    assert len(world.web.requests) == 1


def test_a_domain_without_a_policy(world: World) -> None:
    world.send()
    world.delivered()
    assert world.web.requests == []
    assert len(world.dns.asked(f"_mta-sts.{FAR}")) == 1
    world.counted((1, 0))
