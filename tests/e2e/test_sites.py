"""Domains with the same MX hosts share their concurrency, from the DNS to the connections that a server sees."""

from __future__ import annotations

import threading

import pytest

from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink

DOMAINS = ("a.test", "b.test", "c.test", "d.test")


@pytest.mark.parametrize("sites", ["yes", "no"])
def test_one_provider_is_one_destination(sites: str) -> None:
    address = loopback_address()
    zone = f"mx.provider.test. 60 IN A {address}\n" + "".join(
        f"{domain}. 60 IN MX 10 mx.provider.test.\n" for domain in DOMAINS
    )
    settings = {
        "smtp_destination_concurrency_limit": "1",
        "smtp_destination_sites": sites,
        "smtp_connection_cache_on_demand": "no",
    }
    crowd = Crowd(expected=1 if sites == "yes" else len(DOMAINS))
    with DnsServer(zone) as dns, SmtpSink(address=address) as sink:
        sink.replies["mail"] = crowd.answer
        settings |= {"dns_resolver": dns.resolver, "smtp_tcp_port": str(sink.port)}
        with Instance(settings=settings) as mail:
            mail.run(["sendmail", *(f"u@{domain}" for domain in DOMAINS)], input=b"Subject: x\n\nx\n", check=True)
            mail.wait_for(lambda: len(sink.messages) == len(DOMAINS), 60)
            assert crowd.most == crowd.expected
            assert not mail.log_matching("panic")


class Crowd:
    """Holds clients at MAIL until as many as are expected are there at once, and a moment longer for more."""

    def __init__(self, expected: int) -> None:
        self.expected, self.most, self._now = expected, 0, 0
        self._changed = threading.Condition()

    def answer(self, _: str) -> str:
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.expected, 30)
            self._changed.wait_for(lambda: self.most > self.expected, 0.3)
            self._now -= 1
        return ""
