"""A validating resolver agrees with the signed zones: what they prove is secure, what is broken on purpose is bogus."""

from __future__ import annotations

from collections.abc import Iterator

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.lab.dns import DnsServer
from tests.peers.unbound import Unbound

ZONE = """
example.org. MX 10 mx.example.org.
mx.example.org. A 127.0.0.2
_25._tcp.mx.example.org. TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
alias.example.org. CNAME mx.example.org.
away.example.org. CNAME mx.island.test.
*.wild.example.org. MX 10 mx.example.org.
_smtp._tls.example.org. TXT "v=TLSRPTv1; rua=mailto:tls@example.org"
mx.island.test. A 127.0.0.3
mx.plain.test. A 127.0.0.4
mx.bogus.test. A 127.0.0.5
"""

SECURE, PLAIN, BOGUS = (dns.rcode.NOERROR, True), (dns.rcode.NOERROR, False), (dns.rcode.SERVFAIL, False)
ABSENT = (dns.rcode.NXDOMAIN, True)


@pytest.fixture(scope="module", params=[False, True], ids=["nsec", "nsec3"])
def server(request: pytest.FixtureRequest) -> Iterator[DnsServer]:
    with DnsServer(ZONE, signed=["example.org"], nsec3=request.param) as running:
        running.delegate("island.test", ds="missing")
        running.delegate("plain.test", signed=False)
        running.delegate("bogus.test", ds="wrong")
        yield running


@pytest.fixture(scope="module")
def unbound(server: DnsServer) -> Iterator[Unbound]:
    with Unbound(server) as running:
        yield running


@pytest.fixture(autouse=True)
def mended(server: DnsServer) -> Iterator[None]:
    yield
    server.mend()
    server.authenticate(False)


def ask(address: str, port: int, name: str, kind: str) -> tuple[dns.rcode.Rcode, bool]:
    query = dns.message.make_query(name, kind, want_dnssec=True)
    reply = dns.query.udp(query, address, 10, port)
    return reply.rcode(), bool(reply.flags & dns.flags.AD)


def both(server: DnsServer, unbound: Unbound, name: str, kind: str) -> tuple[dns.rcode.Rcode, bool]:
    """What Unbound makes of it; the server itself, where it plays the validating resolver, must say the same."""
    found = ask(unbound.address, unbound.port, name, kind)
    server.authenticate()
    assert ask(server.address, server.port, name, kind) == found, "\n".join(unbound.log_lines()[-20:])
    server.authenticate(False)
    return found


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("example.org", "MX", SECURE),
        ("mx.example.org", "A", SECURE),
        ("_25._tcp.mx.example.org", "TLSA", SECURE),
        ("_smtp._tls.example.org", "TXT", SECURE),
        ("alias.example.org", "A", SECURE),
        ("a.b.wild.example.org", "MX", SECURE),
        ("wild.example.org", "MX", SECURE),  # an empty non-terminal has no records, and this is proved
        ("a.wild.example.org", "A", SECURE),  # the wildcard has no record of this type
        ("mx.example.org", "AAAA", SECURE),
        ("_tcp.mx.example.org", "TLSA", SECURE),
        ("_25._tcp.none.example.org", "TLSA", ABSENT),
        ("nowhere.example.net", "MX", ABSENT),
        ("example.org", "DS", SECURE),
        ("island.test", "DS", SECURE),
        ("mx.island.test", "A", PLAIN),
        ("away.example.org", "A", PLAIN),
        ("mx.plain.test", "A", PLAIN),
        ("mx.plain.test", "MX", PLAIN),
        ("mx.bogus.test", "A", BOGUS),
    ],
)
def test_what_a_validator_makes_of_it(
    server: DnsServer, unbound: Unbound, name: str, kind: str, expected: tuple[dns.rcode.Rcode, bool]
) -> None:
    assert both(server, unbound, name, kind) == expected


@pytest.mark.parametrize("how", ["bogus", "expired", "unsigned", "stripped"])
def test_what_is_broken_on_purpose_is_bogus_until_mended(server: DnsServer, unbound: Unbound, how: str) -> None:
    name = "_25._tcp.mx.example.org"
    server.spoil("mx.example.org", how, "TLSA")
    assert both(server, unbound, name, "TLSA") == BOGUS
    assert both(server, unbound, "mx.example.org", "A") == SECURE
    server.mend()
    assert both(server, unbound, name, "TLSA") == SECURE


@pytest.mark.parametrize("how", ["bogus", "expired", "unsigned", "stripped"])
def test_a_broken_proof_of_absence_is_bogus(server: DnsServer, unbound: Unbound, how: str) -> None:
    server.spoil("example.org", how, "AAAA")
    assert both(server, unbound, "mx.example.org", "AAAA") == BOGUS


def test_signatures_go_to_those_who_ask(server: DnsServer) -> None:
    plain = dns.query.udp(dns.message.make_query("example.org", "MX"), server.address, 5, server.port)
    signed = dns.query.udp(
        dns.message.make_query("example.org", "MX", want_dnssec=True), server.address, 5, server.port
    )
    assert (len(plain.answer), len(signed.answer)) == (1, 2)
    assert not (plain.flags | signed.flags) & dns.flags.AD


def test_checking_disabled_shows_what_is_bogus(server: DnsServer) -> None:
    server.authenticate()
    query = dns.message.make_query("mx.bogus.test", "A", want_dnssec=True)
    query.flags |= dns.flags.CD
    reply = dns.query.udp(query, server.address, 5, server.port)
    assert (reply.rcode(), len(reply.answer)) == (dns.rcode.NOERROR, 2)


def test_another_apex_can_be_the_trust_anchor() -> None:
    with DnsServer(ZONE, signed=True) as server:
        server.delegate("test", signed=False)
        server.delegate("island.test")
        with Unbound(server, anchor=server.trust_anchor("island.test")) as unbound:
            assert ask(unbound.address, unbound.port, "mx.island.test", "A") == SECURE
            assert ask(unbound.address, unbound.port, "mx.example.org", "A") == PLAIN


def test_a_server_that_signs_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="signed=True"):
        DnsServer(ZONE).spoil("example.org", "bogus")
    with pytest.raises(ValueError, match="signed data can be"):
        DnsServer(ZONE, signed=True).spoil("example.org", "ugly")
