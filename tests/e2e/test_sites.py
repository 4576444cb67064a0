"""Domains with the same MX hosts share their concurrency, from the DNS to the connections that a server sees."""

from __future__ import annotations

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
    with DnsServer(zone) as dns, SmtpSink(address=address, delay=0.3) as sink:
        settings |= {"dns_resolver": dns.resolver, "smtp_tcp_port": str(sink.port)}
        with Instance(settings=settings) as mail:
            mail.run(["sendmail", *(f"u@{domain}" for domain in DOMAINS)], input=b"Subject: x\n\nx\n", check=True)
            # As soon as one message is there its successor may come; before that only other destinations may.
            mail.wait_for(lambda: sink.messages, 60)
            seen = len(sink.sessions)
            mail.wait_for(lambda: len(sink.messages) == len(DOMAINS), 60)
            assert seen == (1 if sites == "yes" else len(DOMAINS))
            assert not mail.log_matching("panic")
