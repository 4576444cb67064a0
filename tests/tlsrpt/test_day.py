"""A whole day: outcomes counted by a running suite, the report due after midnight, in a mailbox and at a web server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients.tlsrpt import AsyncTlsReportClient, TlsOutcome
from pillarbox.lib.config import load
from tests.lab.certificates import Authority
from tests.lab.clock import VirtualClock
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.processes import tree
from tests.lab.web import Request, WebServer, ok
from tests.tlsrpt.schema import checked, opened

FAR = "far.test"
READER = "tls@example.org"
GOOD = TlsOutcome(FAR, "sts", ("version: STSv1", "mode: testing"), ("mx.far.test",), receiving_mx="mx.far.test")
BAD = TlsOutcome(
    FAR, "sts", GOOD.policy_string, GOOD.mx_host, "certificate-expired", "192.0.2.1", "mx.far.test", "192.0.2.2"
)


class Suite:
    """An instance that reports; its own mailbox plays that of the domain far.test."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        self.web = WebServer(authority.issue("reports.test").server_context, lambda _: ok(b"", "text/plain"))
        self.dns = DnsServer("reports.test. A 127.0.0.1")
        self.clock = VirtualClock()
        settings = {
            "dns_resolver": self.dns.resolver,
            "smtp_tlsrpt_enable": "yes",
            "tlsrpt_organization_name": "Laboratory",
            "tlsrpt_sender": "reporter@example.org",
            "tlsrpt_CAfile": str(authority.certificate),
            "tlsrpt_https_ports": str(self.web.port),
        }
        self.instance = Instance(
            clock=self.clock, users={READER: "secret", "reporter@example.org": "secret"}, settings=settings
        )

    def wish(self, *places: str, domain: str = FAR) -> None:
        self.dns.add(f'_smtp._tls.{domain}. TXT "v=TLSRPTv1; rua={",".join(places)}"')

    @property
    def url(self) -> str:
        return f"https://reports.test:{self.web.port}/tls"

    def record(self, *outcomes: TlsOutcome) -> None:
        async def main() -> None:
            client = AsyncTlsReportClient(load(str(self.instance.root / "etc")), pause=0.0)
            for outcome in outcomes:
                client.record(outcome)
            await asyncio.sleep(0.2)  # it is sent
            client.close()

        asyncio.run(main())
        self.instance.wait_for(lambda: (self.instance.root / "state/tlsrpt/counts.sqlite").exists())

    def midnight(self, hours: float) -> None:
        """Let the clock go to so many hours after the next midnight (UTC)."""
        self.clock.advance(86400 - self.clock.time() % 86400 + hours * 3600)

    def reports(self) -> list[bytes]:
        return self.instance.mailbox(READER)

    def sent(self) -> list[str]:
        return self.instance.log_matching("report .* on TLS sent to")


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    made = Suite(tmp_path)
    with made.clock, made.dns, made.web, made.instance:
        yield made


def test_a_day_from_the_outcomes_to_the_mailbox(suite: Suite) -> None:
    suite.wish(f"mailto:{READER}", suite.url)
    suite.midnight(12)  # no day ends in the middle of the test
    day = datetime.datetime.fromtimestamp(suite.clock.time(), datetime.UTC).date().isoformat()
    suite.record(GOOD, GOOD, GOOD, BAD, TlsOutcome("quiet.test", "no-policy-found"))
    suite.midnight(5)
    suite.instance.wait_for(lambda: suite.reports() and suite.web.requests)
    (data,) = suite.reports()
    message, _, report = opened(data)
    assert message["TLS-Report-Domain"] == FAR and "example.org" in message["From"]
    assert report["organization-name"] == "Laboratory"
    assert report["date-range"]["start-datetime"] == f"{day}T00:00:00Z"
    (policy,) = report["policies"]
    assert policy["summary"] == {"total-successful-session-count": 3, "total-failure-session-count": 1}
    (detail,) = policy["failure-details"]
    assert (detail["result-type"], detail["receiving-ip"]) == ("certificate-expired", "192.0.2.2")
    (request,) = suite.web.requests
    assert checked(request.body) == report
    assert len(suite.dns.asked("_smtp._tls.quiet.test")) == 1
    suite.record(GOOD)
    suite.midnight(5)
    suite.instance.wait_for(lambda: len(suite.reports()) == len(suite.web.requests) == 2)
    suite.instance.wait_for(lambda: len(suite.sent()) == 4)


def test_killed_again_and_again_nothing_is_sent_twice(suite: Suite) -> None:
    """Each of the first requests is the last thing that its sender does; a new process goes on where it was."""
    domains = [f"d{number:02}.test" for number in range(60)]
    for domain in domains:
        suite.wish(suite.url, domain=domain)
    suite.record(*(TlsOutcome(domain, "sts") for domain in domains))
    killed: set[int] = set()

    def kill_and_answer(_: Request) -> bytes:
        pids = [each.pid for each in tree(suite.instance.master_pid()) if b"tlsrpt" in _command(each.pid)]
        if len(killed) < 3:
            killed.update(pids)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        return ok(b"", "text/plain")

    suite.web.respond = kill_and_answer
    suite.midnight(5)

    path = suite.instance.root / "state/tlsrpt/counts.sqlite"

    def settled() -> bool:
        suite.record(TlsOutcome("knock.test", "sts"))  # master starts a process for whoever knocks
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as counts:
            today = int(suite.clock.time() // 86400)
            return counts.execute("SELECT count(*) FROM policy WHERE day < ?", (today,)).fetchone() == (0,)

    suite.instance.wait_for(settled, 60)
    assert len(killed) >= 3
    sent = [checked(request.body)["policies"][0]["policy"]["policy-domain"] for request in suite.web.requests]
    assert sent and len(sent) == len(set(sent)), "a report was sent twice"


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
