"""Validation in the process: what is signed is believed, what should be and is not is bogus, absence is proven.

The zones are those of the laboratory, signed by dnspython, and `test_as_unbound_sees_it` holds the verdicts against
Unbound's.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.dns import TLSA, Absent, Answer, Failed, Outcome, RecordType, Server
from pillarbox.lib.dns.anchors import ROOT, parse_anchors
from pillarbox.lib.dns.authentic import AuthenticResolver
from pillarbox.lib.dns.chain import KEYS_LIMIT, _some
from pillarbox.lib.dns.validating import ValidatingResolver
from tests.lab.dns import DnsServer
from tests.peers.unbound import Unbound

DIGEST = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

ZONE = f"""
example.org. MX 10 mx.example.org.
mx.example.org. A 127.0.0.2
_25._tcp.mx.example.org. TLSA 3 1 1 {DIGEST}
plainmx.example.org. A 127.0.0.9
alias.example.org. CNAME mx.example.org.
away.example.org. CNAME mx.island.test.
home.island.test. CNAME mx.example.org.
lost.example.org. CNAME nowhere.example.org.
*.wild.example.org. MX 10 mx.example.org.
mx.island.test. A 127.0.0.3
mx.plain.test. A 127.0.0.4
mx.bogus.test. A 127.0.0.5
deep.sub.example.org. A 127.0.0.6
"""


@pytest.fixture(scope="module", params=[False, True], ids=["nsec", "nsec3"])
def zones(request: pytest.FixtureRequest) -> Iterator[DnsServer]:
    with DnsServer(ZONE, signed=["example.org"], nsec3=request.param) as running:
        running.delegate("test")
        running.delegate("island.test", ds="missing")
        running.delegate("plain.test", signed=False)
        running.delegate("bogus.test", ds="wrong")
        running.delegate("sub.example.org")
        yield running


@pytest.fixture(autouse=True)
def mended(zones: DnsServer) -> Iterator[None]:
    yield
    zones.mend()
    zones.recover()


def resolver(zones: DnsServer, **options: object) -> ValidatingResolver:
    anchors = parse_anchors(zones.trust_anchor())
    return ValidatingResolver([Server(zones.address, zones.port)], anchors, timeout=5.0, attempts=1, **options)  # type: ignore[arg-type]


def ask(zones: DnsServer, name: str, kind: RecordType, **options: object) -> Outcome[object]:
    async def go() -> Outcome[object]:
        validating = resolver(zones, **options)
        try:
            return await validating.query(name, kind)
        finally:
            validating.close()

    return asyncio.run(go())


def verdict(outcome: Outcome[object]) -> str:
    match outcome:
        case Answer(authenticated=True):
            return "secure"
        case Answer():
            return "insecure"
        case Absent(name_exists=exists, authenticated=signed):
            return f"{'no data' if exists else 'no name'}{'' if signed else ', insecure'}"
        case Failed(bogus=True):
            return "bogus"
        case _:
            return "failed"


A, MX_, TLSA_, CNAME = RecordType.A, RecordType.MX, RecordType.TLSA, RecordType.CNAME


def test_a_zone_that_makes_the_resolver_stumble_takes_no_signatures_from_the_others(zones: DnsServer) -> None:
    async def go() -> list[str]:
        validating = resolver(zones)
        try:
            names = ("mx.plain.test", "mx.example.org")
            return [verdict(await validating.query(name, A)) for name in names]
        finally:
            validating.close()

    zones.fail("mx.plain.test", "formerr")
    assert asyncio.run(go()) == ["failed", "secure"]


VERDICTS = [
    ("example.org", MX_, "secure"),
    ("EXAMPLE.org", MX_, "secure"),
    ("mx.example.org", A, "secure"),
    ("_25._tcp.mx.example.org", TLSA_, "secure"),
    ("alias.example.org", A, "secure"),
    ("alias.example.org", CNAME, "secure"),
    ("deep.sub.example.org", A, "secure"),
    ("a.b.wild.example.org", MX_, "secure"),
    ("_25._tcp.plainmx.example.org", TLSA_, "no name"),
    ("mx.example.org", TLSA_, "no data"),
    ("wild.example.org", MX_, "no data"),
    ("_tcp.mx.example.org", A, "no data"),
    ("a.wild.example.org", A, "no data"),
    ("nothing.example.org", A, "no name"),
    ("lost.example.org", A, "no name"),
    ("nothing.invalid", A, "no name"),
    ("away.example.org", A, "insecure"),
    ("home.island.test", A, "insecure"),
    ("mx.island.test", A, "insecure"),
    ("mx.plain.test", A, "insecure"),
    ("_25._tcp.mx.plain.test", TLSA_, "no name, insecure"),
    ("mx.bogus.test", A, "bogus"),
    ("nothing.bogus.test", A, "bogus"),
]


@pytest.mark.parametrize(("name", "kind", "expected"), VERDICTS)
def test_verdicts(zones: DnsServer, name: str, kind: RecordType, expected: str) -> None:
    assert verdict(ask(zones, name, kind)) == expected


def test_as_unbound_sees_it(zones: DnsServer) -> None:
    from pillarbox.lib.dns import Resolver

    async def go(address: str, port: int) -> list[Outcome[object]]:
        plain = Resolver([Server(address, port)], timeout=10.0, attempts=1)
        return [await plain.query(name, kind) for name, kind, _ in VERDICTS]

    with Unbound(zones) as unbound:
        seen = [verdict(outcome) for outcome in asyncio.run(go(unbound.address, unbound.port))]
    assert [word.replace("failed", "bogus") for word in seen] == [expected for _, _, expected in VERDICTS]


def test_values_are_those_of_the_plain_resolver(zones: DnsServer) -> None:
    outcome = ask(zones, "_25._tcp.mx.example.org", TLSA_)
    assert isinstance(outcome, Answer)
    assert outcome.records == (TLSA(3, 1, 1, bytes.fromhex(DIGEST)),)
    assert 0 < outcome.ttl <= 5
    alias = ask(zones, "alias.example.org", A)
    assert isinstance(alias, Answer)
    assert alias.canonical == "mx.example.org"


@pytest.mark.parametrize("how", ["bogus", "expired", "unsigned", "stripped"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("_25._tcp.mx.example.org", TLSA_),
        ("example.org", MX_),
        ("alias.example.org", A),
        ("nothing.example.org", A),
        ("a.b.wild.example.org", MX_),
    ],
)
def test_what_is_spoiled_is_bogus(zones: DnsServer, name: str, kind: RecordType, how: str) -> None:
    zones.spoil(name, how)
    assert verdict(ask(zones, name, kind)) == "bogus"


def test_an_unsigned_zone_may_be_spoiled(zones: DnsServer) -> None:
    zones.spoil("mx.plain.test", "stripped")
    assert verdict(ask(zones, "mx.plain.test", A)) == "no data, insecure"


def test_a_stripped_delegation_is_no_insecure_one(zones: DnsServer) -> None:
    zones.spoil("example.org", "stripped", "DS")
    assert verdict(ask(zones, "mx.example.org", A)) == "bogus"
    zones.spoil("plain.test", "stripped", "DS")
    assert verdict(ask(zones, "mx.plain.test", A)) == "bogus"


def test_keys_that_cannot_be_had_are_a_failure(zones: DnsServer) -> None:
    zones.fail("example.org", "servfail", "DNSKEY")
    assert verdict(ask(zones, "mx.example.org", A)) == "failed"


def test_signatures_are_held_to_the_time_of_day(zones: DnsServer) -> None:
    later = ask(zones, "mx.example.org", A, now=lambda: 4e9)
    assert verdict(later) == "bogus"
    assert isinstance(later, Failed)
    assert "expired" in later.detail


def test_below_no_anchor_nothing_is_known(zones: DnsServer) -> None:
    async def go() -> Outcome[object]:
        anchors = parse_anchors(zones.trust_anchor("example.org"))
        validating = ValidatingResolver([Server(zones.address, zones.port)], anchors)
        assert verdict(await validating.query("mx.example.org", A)) == "secure"
        return await validating.query("mx.bogus.test", A)

    assert verdict(asyncio.run(go())) == "insecure"


def test_a_wrong_anchor_makes_all_bogus(zones: DnsServer) -> None:
    async def go() -> Outcome[object]:
        validating = ValidatingResolver([Server(zones.address, zones.port)], parse_anchors(ROOT))
        return await validating.query("mx.plain.test", A)

    assert verdict(asyncio.run(go())) == "bogus"


def test_steps_are_asked_once(zones: DnsServer) -> None:
    async def go() -> None:
        validating = resolver(zones)
        await asyncio.gather(*(validating.query(f"h{n}.example.org", A) for n in range(20)))
        await validating.query("mx.example.org", A)

    before = len(zones.asked("example.org", "DNSKEY")), len(zones.asked(".", "DNSKEY"))
    asyncio.run(go())
    assert (len(zones.asked("example.org", "DNSKEY")), len(zones.asked(".", "DNSKEY"))) == (
        before[0] + 1,
        before[1] + 1,
    )


@pytest.mark.parametrize("name", ["", "a" * 64 + ".example.org", "x..y", ".".join("a" * 60 for _ in range(5))])
def test_a_name_that_cannot_be_is_absent(zones: DnsServer, name: str) -> None:
    if name:
        assert verdict(ask(zones, name, A)) == "no name, insecure"
    else:
        assert verdict(ask(zones, name, RecordType.TXT)) == "no data"


@pytest.mark.parametrize("text", ["", "nonsense", ". IN A 127.0.0.1", ". IN DS x", "; nothing"])
def test_anchors_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="record"):
        parse_anchors(text)


UNKNOWN = (
    ". IN DS 1 8 99 0011",  # a digest that nobody knows
    ". IN DS 1 8 3 " + "00" * 32,  # GOST: known, and not validated
    ". IN DS 1 200 2 " + "00" * 32,  # an algorithm that nobody knows
    ". IN DNSKEY 257 3 200 AwEAAa==",
)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_anchor_that_nobody_can_check_is_passed_over(zones: DnsServer, unknown: str) -> None:
    async def go() -> Outcome[object]:
        anchors = parse_anchors(f"{unknown}\n{zones.trust_anchor()}")
        validating = ValidatingResolver([Server(zones.address, zones.port)], anchors, timeout=5.0, attempts=1)
        return await validating.query("mx.example.org", A)

    assert verdict(asyncio.run(go())) == "secure"


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_zone_with_no_other_anchor_is_a_mistake(unknown: str) -> None:
    with pytest.raises(ValueError, match=r"no record of the zone \. has an algorithm and digest that are known here"):
        parse_anchors(unknown)


def test_anchors_are_looked_at_before_anybody_asks(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    file.write_text(UNKNOWN[0])
    with pytest.raises(ValueError, match=f"dnssec_trust_anchors: {file}: no record of the zone"):
        AuthenticResolver(Config.for_tests(dnssec_trust_anchors=str(file), dns_resolver="127.0.0.1"))


def test_the_anchors_of_the_root() -> None:
    assert [record.key_tag for record in parse_anchors(ROOT)["."]] == [20326, 38696]


def test_of_a_zone_with_very_many_keys_not_all_are_remembered() -> None:
    keys = dns.rrset.RRset(dns.name.from_text("big.example"), dns.rdataclass.IN, dns.rdatatype.DNSKEY)
    for number in range(200):
        text = base64.b64encode(number.to_bytes(2, "big") * 128).decode()
        keys.add(dns.rdata.from_text("IN", "DNSKEY", f"256 3 8 {text}"), 300)
    assert sum(len(key.key) for key in _some(keys)) == KEYS_LIMIT
