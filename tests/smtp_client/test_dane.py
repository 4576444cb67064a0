"""DANE from the zone to the delivery: what is signed is kept to, what is unsigned stays opportunistic, and what
somebody tampers with never goes out in clear text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients.tlsrpt import AsyncTlsReportClient, TlsOutcome
from pillarbox.lib.dns import Resolver, Server
from pillarbox.lib.dns.anchors import parse_anchors
from pillarbox.lib.dns.validating import ValidatingResolver
from tests.lab.certificates import Authority, Certificate
from tests.lab.dns import DnsServer
from tests.smtp_client.conftest import ClientUnderTest, Outcome
from tests.smtp_client.fake_server import FakeServer, fake_server, unused_port

EHLO = "250-mx.test\n250-PIPELINING\n250 STARTTLS"
REQUIRETLS = "250-mx.test\n250-STARTTLS\n250 REQUIRETLS"
CLEAR = "250-mx.test\n250 PIPELINING"

WRONG = "3 1 1 " + "00" * 32

ZONE = """
dane.example. MX 10 mx.dane.example.
mx.dane.example. A 127.0.0.1
plain.example. MX 10 mx.plain.example.
mx.plain.example. A 127.0.0.1
mixed.example. MX 10 mx.dane.example.
signed.example. MX 10 mx.signed.example.
mx.signed.example. A 127.0.0.1
implicit.example. A 127.0.0.1
aliased.example. MX 10 alias.aliased.example.
alias.aliased.example. CNAME mx.dane.example.
leaving.example. MX 10 alias.leaving.example.
alias.leaving.example. CNAME mx.plain.example.
broken.example. MX 10 mx.broken.example.
mx.broken.example. A 127.0.0.1
"""
SIGNED = ("dane", "signed", "implicit", "aliased", "leaving")


class World:
    """One SMTP server under all names, and the zones."""

    def __init__(self, client: ClientUnderTest, dns: DnsServer, folder: Path) -> None:
        self.client = client
        self.dns = dns
        self.port = unused_port()
        self.authority = Authority(folder / "ca")
        self.certificate = self.authority.issue("mx.dane.example")
        client.parameters |= {"smtp_tls_security_level": "dane", "inet_protocols": "ipv4", "smtp_tls_loglevel": "1"}
        server = Server(dns.address, dns.port)
        client.servers = [server]
        anchors = parse_anchors(dns.trust_anchor())
        self.patience = 5.0
        client.authentic = lambda: ValidatingResolver([server], anchors, timeout=self.patience, attempts=1)
        self.publish("mx.dane.example", f"3 1 1 {self.certificate.public_key_digest}")

    def publish(self, host: str, *records: str) -> None:
        for record in records:
            self.dns.add(f"_{self.port}._tcp.{host}. TLSA {record}")

    def unpublish(self, host: str) -> None:
        self.dns.remove(f"_{self.port}._tcp.{host}.")

    def tlsa(self, host: str) -> str:
        return f"_{self.port}._tcp.{host}"

    def send(
        self, domain: str, ehlo: str = EHLO, certificate: Certificate | None = None, **fields: object
    ) -> tuple[Outcome, FakeServer]:
        context = (certificate or self.certificate).server_context
        with fake_server({"EHLO": ehlo}, port=self.port, context=context) as server:
            return self.client.deliver_one(f"{domain}:{self.port}", **fields), server


@pytest.fixture(params=[False, True], ids=["nsec", "nsec3"])
def world(request: pytest.FixtureRequest, client: ClientUnderTest, tmp_path: Path) -> Iterator[World]:
    with DnsServer(ZONE, signed=[f"{name}.example" for name in SIGNED], nsec3=request.param) as dns:
        dns.delegate("plain.example", ds="missing")
        dns.delegate("mixed.example", signed=False)
        dns.delegate("broken.example", ds="wrong")
        yield World(client, dns, tmp_path)


def sent_in_clear(server: FakeServer) -> bool:
    return any(heard.messages and not heard.encrypted for heard in server.heard)


def status_of(outcome: Outcome) -> str:
    line = next(line for line in reversed(outcome.log) if " to=<" in line)
    return line.partition(", tls=")[2].partition(",")[0]


class TestRecordsThatMatch:
    def test_are_verified(self, world: World) -> None:
        outcome, server = world.send("dane.example")
        assert outcome.one.status == "sent", outcome.one.text
        assert server.heard[0].encrypted
        assert outcome.log[0].startswith(
            f"Verified TLS connection established to mx.dane.example[127.0.0.1]:{world.port}: TLSv1.3 with cipher "
        )
        assert status_of(outcome) == "dane"

    @pytest.mark.parametrize("domain", ["aliased.example"])
    def test_at_the_end_of_an_alias(self, world: World, domain: str) -> None:
        outcome, _ = world.send(domain)
        assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")

    def test_at_an_alias_that_leads_out_of_signed_zones(self, world: World) -> None:
        world.publish("alias.leaving.example", f"3 1 1 {world.certificate.public_key_digest}")
        outcome, _ = world.send("leaving.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")

    def test_at_a_domain_without_mx(self, world: World) -> None:
        world.publish("implicit.example", f"3 1 1 {world.certificate.public_key_digest}")
        outcome, _ = world.send("implicit.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")

    def test_at_a_host_in_brackets(self, world: World) -> None:
        outcome, _ = world.send("[mx.dane.example]")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")

    def test_of_an_authority_with_the_name_of_the_next_hop(self, world: World) -> None:
        world.unpublish("mx.dane.example")
        fingerprint = _fingerprint(world.authority)
        world.publish("mx.dane.example", f"2 0 1 {fingerprint}")
        for name, expected in (("dane.example", "sent"), ("mx.dane.example", "sent"), ("x.example", "deferred")):
            certificate = _with_chain(world.authority, world.authority.issue(name))
            outcome, server = world.send("dane.example", certificate=certificate)
            assert outcome.one.status == expected, outcome.one.text
            assert not sent_in_clear(server)

    def test_connections_are_used_again(self, world: World) -> None:
        context = world.certificate.server_context
        with fake_server({"EHLO": EHLO}, port=world.port, context=context) as server:
            nexthop = f"dane.example:{world.port}"
            world.client.deliver(*(world.client.request(nexthop) for _ in range(3)))
            assert len(server.heard) == 1
            assert len(server.messages) == 3


class TestRecordsThatDoNotMatch:
    @pytest.mark.parametrize("level", ["dane", "dane-only"])
    def test_defer(self, world: World, level: str) -> None:
        world.client.parameters["smtp_tls_security_level"] = level
        world.unpublish("mx.dane.example")
        world.publish("mx.dane.example", WRONG)
        outcome, server = world.send("dane.example")
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.5")
        assert outcome.one.text.startswith("Cannot start TLS: server certificate not verified")
        assert not server.messages

    def test_a_server_without_tls_gets_nothing(self, world: World) -> None:
        outcome, server = world.send("dane.example", ehlo=CLEAR)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.4")
        assert not server.messages

    def test_nor_does_one_that_refuses_to_begin(self, world: World) -> None:
        with fake_server({"EHLO": EHLO, "STARTTLS": "454 no"}, port=world.port) as server:
            outcome = world.client.deliver_one(f"dane.example:{world.port}")
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.4")
        assert not server.messages

    def test_unusable_ones_demand_encryption(self, world: World) -> None:
        world.unpublish("mx.dane.example")
        world.publish("mx.dane.example", "1 1 1 " + "00" * 32, "3 1 7 00")
        outcome, server = world.send("dane.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "encrypt/dane")
        assert server.heard[0].encrypted
        outcome, server = world.send("dane.example", ehlo=CLEAR)
        assert outcome.one.status == "deferred"
        assert not server.messages

    def test_unusable_ones_are_none_at_dane_only(self, world: World) -> None:
        world.client.parameters["smtp_tls_security_level"] = "dane-only"
        world.unpublish("mx.dane.example")
        world.publish("mx.dane.example", "1 1 1 " + "00" * 32)
        outcome, server = world.send("dane.example")
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.5")
        assert not server.messages


class TestNoRecords:
    @pytest.mark.parametrize("domain", ["plain.example", "mixed.example", "signed.example"])
    @pytest.mark.parametrize("ehlo", [EHLO, CLEAR], ids=["tls", "clear"])
    def test_tls_is_optional(self, world: World, domain: str, ehlo: str) -> None:
        outcome, _ = world.send(domain, ehlo=ehlo)
        assert outcome.one.status == "sent"
        assert status_of(outcome) == ("may" if ehlo is EHLO else "may:none")

    @pytest.mark.parametrize("domain", ["plain.example", "mixed.example", "signed.example"])
    def test_there_is_no_delivery_at_dane_only(self, world: World, domain: str) -> None:
        world.client.parameters["smtp_tls_security_level"] = "dane-only"
        outcome, server = world.send(domain)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.5")
        assert not server.messages

    @pytest.mark.parametrize(("policy", "expected"), [("may", "may"), ("encrypt", "encrypt/dane"), ("dane", "dane")])
    def test_records_behind_an_unsigned_mx_count_by_parameter(self, world: World, policy: str, expected: str) -> None:
        world.client.parameters["smtp_tls_dane_insecure_mx_policy"] = policy
        outcome, _ = world.send("mixed.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", expected)

    def test_records_of_an_unsigned_zone_do_not_count(self, world: World) -> None:
        world.publish("mx.plain.example", WRONG)
        outcome, _ = world.send("plain.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "may")

    def test_nobody_looks_for_them_below_dane(self, world: World) -> None:
        world.client.parameters["smtp_tls_security_level"] = "may"
        outcome, _ = world.send("dane.example")
        assert (outcome.one.status, status_of(outcome)) == ("sent", "may")
        assert not world.dns.asked(kind="TLSA")
        assert not world.dns.asked(kind="DNSKEY")


class TestTampering:
    @pytest.mark.parametrize("how", ["bogus", "expired", "unsigned", "stripped"])
    @pytest.mark.parametrize("what", ["TLSA", "MX", "A"])
    @pytest.mark.parametrize("ehlo", [EHLO, CLEAR], ids=["tls", "clear"])
    def test_never_leads_to_a_delivery(self, world: World, how: str, what: str, ehlo: str) -> None:
        name = {"TLSA": world.tlsa("mx.dane.example"), "MX": "dane.example", "A": "mx.dane.example"}[what]
        world.dns.spoil(name, how, what)
        outcome, server = world.send("dane.example", ehlo=ehlo)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.3")
        assert not server.messages

    @pytest.mark.parametrize("what", ["MX", "A"])
    def test_is_told_apart_from_a_server_that_is_away(self, world: World, what: str) -> None:
        world.dns.spoil({"MX": "dane.example", "A": "mx.dane.example"}[what], "expired", what)
        outcome, _ = world.send("dane.example")
        assert "Host not found, try again (DNSSEC validation failure: " in outcome.one.text

    @pytest.mark.parametrize("how", ["bogus", "expired", "unsigned", "stripped"])
    def test_with_a_denial(self, world: World, how: str) -> None:
        world.dns.spoil(world.tlsa("mx.signed.example"), how, "TLSA")
        outcome, server = world.send("signed.example")
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.3")
        assert outcome.one.text.startswith(f"TLSA lookup error for mx.signed.example:{world.port}: ")
        assert not server.messages

    @pytest.mark.parametrize("how", ["servfail", "timeout", "refused"])
    def test_with_the_look_up(self, world: World, how: str) -> None:
        world.dns.fail(world.tlsa("mx.dane.example"), how, "TLSA")
        if how == "timeout":
            world.patience = 0.5
        outcome, server = world.send("dane.example", ehlo=CLEAR)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.3")
        assert not server.messages

    def test_with_a_delegation(self, world: World) -> None:
        outcome, server = world.send("broken.example")
        assert outcome.one.status == "deferred"
        assert not server.messages


class TestRequiredTls:
    """RFC 8689 section 4.2.1: the names of servers must be authentic, too."""

    def required(self, world: World, domain: str, certificate: Certificate | None = None) -> tuple[Outcome, FakeServer]:
        world.client.parameters["smtp_tls_CAfile"] = str(world.authority.certificate)
        return world.send(domain, REQUIRETLS, certificate, requiretls=True)

    @pytest.mark.parametrize("level", ["may", "dane", "encrypt"])
    def test_signed_mx_and_a_certificate_for_the_host(self, world: World, level: str) -> None:
        world.client.parameters["smtp_tls_security_level"] = level
        outcome, server = self.required(world, "signed.example", world.authority.issue("mx.signed.example"))
        assert outcome.one.status == "sent", outcome.one.text
        assert status_of(outcome) == "verify/requiretls"
        assert any(command.endswith(" REQUIRETLS") for command in server.commands)

    def test_tlsa_records_prove_it_as_well(self, world: World) -> None:
        outcome, _ = self.required(world, "dane.example", world.certificate)
        assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")

    def test_an_unsigned_mx_is_nobodys_word(self, world: World) -> None:
        outcome, server = self.required(world, "plain.example", world.authority.issue("mx.plain.example"))
        assert (outcome.one.status, outcome.one.dsn) == ("bounced", "5.7.10")
        assert "nothing authenticates that mx.plain.example[127.0.0.1] is a server of plain.example" in outcome.one.text
        assert not server.messages

    def test_what_cannot_be_looked_up_waits(self, world: World) -> None:
        world.dns.fail(world.tlsa("mx.dane.example"), "servfail", "TLSA")
        outcome, server = self.required(world, "dane.example")
        assert outcome.one.status == "deferred"
        assert not server.messages


class TestReports:
    """RFC 8460 section 4.3, with the TLSA records as policy."""

    @pytest.fixture
    def reports(self, world: World, monkeypatch: pytest.MonkeyPatch) -> list[TlsOutcome]:
        made: list[TlsOutcome] = []
        monkeypatch.setattr(AsyncTlsReportClient, "record", lambda self, outcome: made.append(outcome))
        world.client.parameters["smtp_tlsrpt_enable"] = "yes"
        return made

    def test_a_success(self, world: World, reports: list[TlsOutcome]) -> None:
        world.send("dane.example")
        (report,) = reports
        assert (report.policy_domain, report.policy_type, report.failure) == ("dane.example", "tlsa", "")
        assert report.policy_string == (f"3 1 1 {world.certificate.public_key_digest}",)

    def test_another_certificate(self, world: World, reports: list[TlsOutcome]) -> None:
        world.unpublish("mx.dane.example")
        world.publish("mx.dane.example", WRONG)
        world.send("dane.example")
        assert [report.failure for report in reports] == ["certificate-not-trusted"]
        assert reports[0].reason_code == "X509_V_ERR 65"

    def test_no_tls(self, world: World, reports: list[TlsOutcome]) -> None:
        world.send("dane.example", ehlo=CLEAR)
        assert [(report.policy_type, report.failure) for report in reports] == [("tlsa", "starttls-not-supported")]

    def test_bogus_records(self, world: World, reports: list[TlsOutcome]) -> None:
        world.dns.spoil(world.tlsa("mx.dane.example"), "bogus", "TLSA")
        world.send("dane.example")
        assert [(report.policy_type, report.failure) for report in reports] == [("tlsa", "dnssec-invalid")]

    def test_unusable_records(self, world: World, reports: list[TlsOutcome]) -> None:
        world.unpublish("mx.dane.example")
        world.publish("mx.dane.example", "1 1 1 " + "00" * 32)
        world.send("dane.example")
        assert [report.failure for report in reports] == ["tlsa-invalid", ""]

    def test_no_records_where_they_are_demanded(self, world: World, reports: list[TlsOutcome]) -> None:
        world.client.parameters["smtp_tls_security_level"] = "dane-only"
        world.send("plain.example")
        assert [report.failure for report in reports] == ["dane-required"]


def test_the_word_of_a_trusted_resolver(world: World) -> None:
    """dnssec_validation: resolver, with a server on loopback that plays the validator."""
    world.dns.authenticate()
    world.client.authentic = lambda: Resolver(world.client.servers, timeout=5, attempts=1)
    outcome, _ = world.send("dane.example")
    assert (outcome.one.status, status_of(outcome)) == ("sent", "dane")
    world.dns.spoil(world.tlsa("mx.dane.example"), "bogus", "TLSA")
    outcome, server = world.send("dane.example", ehlo=CLEAR)
    assert outcome.one.status == "deferred"
    assert not server.messages
    world.client.authentic = lambda: Resolver(world.client.servers, timeout=5, attempts=1, believed=False)
    outcome, _ = world.send("dane.example")
    assert status_of(outcome) == "may", "the word of a resolver that is not trusted counts nothing"


def test_the_second_server_is_tried_where_the_first_is_unusable(world: World) -> None:
    world.dns.add("two.dane.example. MX 10 mx.dane.example.\ntwo.dane.example. MX 20 other.dane.example.")
    world.dns.add("other.dane.example. A 127.0.0.2")
    world.publish("other.dane.example", f"3 1 1 {world.certificate.public_key_digest}")
    world.dns.spoil(world.tlsa("mx.dane.example"), "bogus", "TLSA")
    context = world.certificate.server_context
    with (
        fake_server({"EHLO": EHLO}, port=world.port, context=context) as first,
        fake_server({"EHLO": EHLO}, port=world.port, address="127.0.0.2", context=context) as second,
    ):
        outcome = world.client.deliver_one(f"two.dane.example:{world.port}")
        assert outcome.one.status == "sent", outcome.one.text
        assert not first.messages
        assert len(second.messages) == 1


def _fingerprint(authority: Authority) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(authority.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


def _with_chain(authority: Authority, certificate: Certificate) -> Certificate:
    certificate.chain.write_bytes(certificate.chain.read_bytes() + authority.certificate.read_bytes())
    return certificate
