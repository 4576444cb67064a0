"""What NSEC and NSEC3 records prove, and what an attacker who replays true ones does not get proven."""

from __future__ import annotations

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdatatype
import pytest

from pillarbox.lib.dns.denial import ITERATIONS_LIMIT, Nsec, Nsec3, Proof, TooManyIterations
from pillarbox.lib.dns.signatures import Bogus, Budget

A, DS, TLSA, MX = dns.rdatatype.A, dns.rdatatype.DS, dns.rdatatype.TLSA, dns.rdatatype.MX
ZONE = dns.name.from_text("example.org.")


def name(text: str) -> dns.name.Name:
    return dns.name.from_text(text, ZONE)


def nsec(*links: tuple[str, str, str]) -> Nsec:
    """Links of the chain: owner, next owner, types; names relative to the zone, "@" is its apex."""
    return Nsec(
        [(_at(owner), dns.rdata.from_text("IN", "NSEC", f"{_at(behind)} {types}")) for owner, behind, types in links]
    )


def _at(text: str) -> dns.name.Name:
    return ZONE if text == "@" else name(text)


APEX = ("@", "a", "SOA NS MX RRSIG NSEC DNSKEY")


class TestNsec:
    def test_a_type_that_is_not_there(self) -> None:
        assert nsec(APEX, ("mx", "z", "A RRSIG NSEC")).absent(name("mx"), TLSA) is Proof.NO_DATA

    def test_a_type_that_is_there(self) -> None:
        with pytest.raises(Bogus):
            nsec(("mx", "z", "A TLSA RRSIG NSEC")).absent(name("mx"), TLSA)

    def test_an_alias_denies_nothing(self) -> None:
        with pytest.raises(Bogus):
            nsec(("mx", "z", "CNAME RRSIG NSEC")).absent(name("mx"), TLSA)

    def test_a_name_that_is_not_there(self) -> None:
        assert nsec(APEX, ("mx", "@", "A RRSIG NSEC")).absent(name("_25._tcp.nx"), TLSA) is Proof.NO_NAME

    def test_the_wildcard_must_be_denied_too(self) -> None:
        with pytest.raises(Bogus, match="wildcard"):
            nsec(("mx", "@", "A RRSIG NSEC")).absent(name("nx"), TLSA)

    def test_a_wildcard_answers_for_nothing_below_a_name_that_exists(self) -> None:
        """RFC 4592 section 3.3.1: its records are true, and replayed where they do not belong."""
        nsec(("a", "m", "A RRSIG NSEC")).no_exact_match(name("_25._tcp.host"), 2)
        for link in (("mx", "z", "A RRSIG NSEC"), ("a", "x._tcp.mx", "A RRSIG NSEC")):
            with pytest.raises(Bogus, match="too far above"):
                nsec(link).no_exact_match(name("_25._tcp.mx"), 2)

    def test_the_parents_record_of_a_delegation_denies_nothing_of_the_child(self) -> None:
        """RFC 6840 section 4.1: a true record of the parent, replayed."""
        chain = nsec(APEX, ("child", "z", "NS DS RRSIG NSEC"))
        for wanted, kind in (("child", MX), ("_25._tcp.mx.child", TLSA), ("mx.child", A)):
            with pytest.raises(Bogus):
                chain.absent(name(wanted), kind)

    def test_it_denies_a_ds_record(self) -> None:
        chain = nsec(("child", "z", "NS RRSIG NSEC"))
        assert chain.absent(name("child"), DS) is Proof.NO_DATA
        assert chain.delegates(name("child"))

    def test_the_childs_apex_does_not(self) -> None:
        with pytest.raises(Bogus):
            nsec(APEX).absent(ZONE, DS)

    def test_a_name_between_others(self) -> None:
        assert nsec(("mx", "_25._tcp.z", "A RRSIG NSEC")).absent(name("z"), A) is Proof.NO_DATA


def nsec3(*names: tuple[str, str], opt_out: bool = False, iterations: int = 1, budget: Budget | None = None) -> Nsec3:
    """The whole chain of a zone with these names and their types."""
    flags = 1 if opt_out else 0
    hashes = sorted((dns.dnssec.nsec3_hash(_at(owner), "aa", iterations, 1), types) for owner, types in names)
    records = []
    for number, (digest, types) in enumerate(hashes):
        behind = hashes[(number + 1) % len(hashes)][0]
        text = f"1 {flags} {iterations} aa {behind} {types}"
        records.append((name(digest.lower()), dns.rdata.from_text("IN", "NSEC3", text)))
    return Nsec3(records, ZONE, budget or Budget())


NAMES = (("@", "SOA NS MX RRSIG DNSKEY NSEC3PARAM"), ("mx", "A RRSIG"), ("child", "NS DS RRSIG"), ("plain", "NS"))


class TestNsec3:
    def test_what_is_proven(self) -> None:
        chain = nsec3(*NAMES)
        assert chain.absent(name("mx"), TLSA) is Proof.NO_DATA
        assert chain.absent(name("_25._tcp.mx"), TLSA) is Proof.NO_NAME
        assert chain.absent(name("nx"), A) is Proof.NO_NAME
        assert chain.absent(name("plain"), DS) is Proof.NO_DATA
        assert chain.delegates(name("plain"))

    @pytest.mark.parametrize(
        ("wanted", "kind"), [("mx", A), ("child", MX), ("mx.child", A), ("_25._tcp.mx.child", TLSA), ("@", DS)]
    )
    def test_what_is_not(self, wanted: str, kind: int) -> None:
        with pytest.raises(Bogus):
            nsec3(*NAMES).absent(_at(wanted), kind)

    def test_opting_out_leaves_unsigned_delegations_open(self) -> None:
        assert nsec3(*NAMES, opt_out=True).absent(name("nx"), DS) is Proof.UNSIGNED

    def test_too_many_iterations_count_as_unsigned(self) -> None:
        nsec3(*NAMES, iterations=ITERATIONS_LIMIT)
        with pytest.raises(TooManyIterations):
            nsec3(*NAMES, iterations=ITERATIONS_LIMIT + 1)

    def test_the_work_is_bounded(self) -> None:
        """CVE-2023-50868: each label of a name costs a hash."""
        with pytest.raises(Bogus, match="too much work"):
            nsec3(*NAMES, budget=Budget(hashes=20)).absent(name(".".join("x" * 60)), A)
