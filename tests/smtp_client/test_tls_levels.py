"""The levels in real handshakes: tables, fingerprints, trust anchors, implicit TLS, MTA-STS, reports, resumption."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from pillarbox.lib.clients.mta_sts import AsyncMtaStsClient, PolicyUnavailable
from pillarbox.lib.clients.tlsrpt import AsyncTlsReportClient, TlsOutcome
from pillarbox.lib.dns import Server
from pillarbox.lib.smtp.sts_policy import StsPolicy, parse_policy
from pillarbox.smtp_client.tables import Tables
from tests.lab.certificates import Authority, Certificate
from tests.lab.dns import DnsServer
from tests.smtp_client.conftest import ClientUnderTest, Outcome
from tests.smtp_client.fake_server import FakeServer, fake_server, unused_port
from tests.smtp_client.test_dane import CLEAR, EHLO, status_of

HOST = "mx.sts.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """smtp_tls_policy_maps, without the lookup service."""
    entries: dict[str, str] = {}

    async def find(self: Tables, parameter: object, *keys: str) -> str | None:
        return next((entries[key] for key in keys if key in entries), None)

    monkeypatch.setattr(Tables, "find", find)
    return entries


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[TlsOutcome]:
    made: list[TlsOutcome] = []
    monkeypatch.setattr(AsyncTlsReportClient, "record", lambda self, outcome: made.append(outcome))
    return made


def to_localhost(client: ClientUnderTest, certificate: Certificate, ehlo: str = EHLO) -> tuple[Outcome, FakeServer]:
    client.parameters |= {"inet_protocols": "ipv4", "smtp_tls_loglevel": "1"}
    with fake_server({"EHLO": ehlo}, context=certificate.server_context) as server:
        return client.deliver_one(f"[localhost]:{server.port}"), server


@pytest.mark.parametrize("which", ["certificate", "key", "other"])
def test_fingerprints(client: ClientUnderTest, authority: Authority, which: str) -> None:
    certificate = authority.issue("whoever.test", expired=True)
    digests = {"certificate": certificate.fingerprint, "key": certificate.public_key_digest, "other": "00" * 32}
    client.parameters |= {
        "smtp_tls_security_level": "fingerprint",
        "smtp_tls_fingerprint_cert_match": "11" * 32 + " " + digests[which],
    }
    outcome, server = to_localhost(client, certificate)
    assert outcome.one.status == ("deferred" if which == "other" else "sent")
    assert bool(server.messages) is (which != "other")
    if which != "other":
        assert outcome.log[0].startswith("Verified TLS connection established to ")
        assert status_of(outcome) == "fingerprint"


@pytest.mark.parametrize(
    ("parameters", "name", "status"),
    [
        ({"smtp_tls_security_level": "verify"}, "localhost", "sent"),
        ({"smtp_tls_security_level": "verify"}, "other.test", "deferred"),
        ({"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": "other.test"}, "other.test", "sent"),
        ({"smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": ".test"}, "other.test", "sent"),
        ({"smtp_tls_security_level": "secure"}, "localhost", "sent"),
    ],
)
def test_names(
    client: ClientUnderTest, authority: Authority, parameters: dict[str, str], name: str, status: str
) -> None:
    client.parameters |= {**parameters, "smtp_tls_CAfile": str(authority.certificate)}
    outcome, _ = to_localhost(client, authority.issue(name))
    assert outcome.one.status == status, outcome.one.text


def test_an_expired_certificate_is_none(client: ClientUnderTest, authority: Authority) -> None:
    client.parameters |= {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": str(authority.certificate)}
    outcome, server = to_localhost(client, authority.issue("localhost", expired=True))
    assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.5")
    assert "expired" in outcome.one.text
    assert not server.messages


def test_trust_anchors_alone_are_trusted(client: ClientUnderTest, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    client.parameters |= {
        "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": str(other.certificate),
        "smtp_tls_trust_anchor_file": str(authority.certificate),
    }
    assert to_localhost(client, authority.issue("localhost"))[0].one.status == "sent"
    assert to_localhost(client, authority.issue("elsewhere.test"))[0].one.status == "deferred"
    assert to_localhost(client, other.issue("localhost"))[0].one.status == "deferred"


@pytest.mark.parametrize(("known", "word"), [(True, "Trusted"), (False, "Untrusted")])
def test_the_log_says_whether_an_authority_vouches(
    client: ClientUnderTest, authority: Authority, tmp_path: Path, known: bool, word: str
) -> None:
    trusted = authority if known else Authority(tmp_path / "other")
    client.parameters |= {"smtp_tls_security_level": "may", "smtp_tls_CAfile": str(trusted.certificate)}
    outcome, _ = to_localhost(client, authority.issue("any.test"))
    assert outcome.one.status == "sent"
    assert outcome.log[0].startswith(f"{word} TLS connection established to localhost[127.0.0.1]:")


class TestTable:
    @pytest.mark.parametrize(
        ("entry", "ehlo", "status"),
        [
            ("encrypt", CLEAR, "deferred"),
            ("encrypt", EHLO, "sent"),
            ("none", EHLO, "sent"),
            ("verify", EHLO, "deferred"),
            ("verify match=any.test", EHLO, "sent"),
            ("encrypt protocols=TLSv1.2", EHLO, "sent"),
            ("nonsense", EHLO, "deferred"),
        ],
    )
    def test_an_entry_counts_for_its_destination(
        self,
        client: ClientUnderTest,
        authority: Authority,
        table: dict[str, str],
        entry: str,
        ehlo: str,
        status: str,
    ) -> None:
        client.parameters |= {
            "smtp_tls_security_level": "may",
            "smtp_tls_CAfile": str(authority.certificate),
            "smtp_tls_policy_maps": "inline:{x=y}",
        }
        context = authority.issue("any.test").server_context
        with (
            fake_server({"EHLO": ehlo}, context=context) as server,
            fake_server({"EHLO": CLEAR}) as other,
        ):
            table[f"[localhost]:{server.port}"] = entry
            client.parameters["inet_protocols"] = "ipv4"
            outcome = client.deliver_one(f"[localhost]:{server.port}")
            assert outcome.one.status == status, outcome.one.text
            assert bool(server.messages) is (status == "sent")
            assert client.deliver_one(f"[localhost]:{other.port}").one.status == "sent"
        if status == "sent":
            assert server.heard[-1].encrypted is (entry != "none")
        if entry == "nonsense":
            assert (outcome.one.dsn, outcome.one.text) == ("4.7.5", "client TLS configuration problem")

    def test_reuse_can_be_forbidden(self, client: ClientUnderTest, authority: Authority, table: dict[str, str]) -> None:
        client.parameters |= {"smtp_tls_policy_maps": "inline:{x=y}", "inet_protocols": "ipv4"}
        with fake_server({"EHLO": EHLO}, context=authority.issue("any.test").server_context) as server:
            nexthop = table_key = f"[localhost]:{server.port}"
            table[table_key] = "encrypt connection_reuse=no"
            client.deliver(client.request(nexthop), client.request(nexthop))
            assert len(server.heard) == 2


def test_implicit_tls(client: ClientUnderTest, authority: Authority) -> None:
    client.parameters |= {
        "smtp_tls_security_level": "verify",
        "smtp_tls_wrappermode": "yes",
        "smtp_tls_CAfile": str(authority.certificate),
        "inet_protocols": "ipv4",
    }
    context = authority.issue("localhost").server_context
    with fake_server({"EHLO": CLEAR}, context=context, wrapped=True) as server:
        outcome = client.deliver_one(f"[localhost]:{server.port}")
        assert outcome.one.status == "sent", outcome.one.text
        assert server.heard[0].encrypted
        assert server.commands.count("EHLO me.test") == 1


def test_an_offer_that_is_not_taken_is_noted(client: ClientUnderTest) -> None:
    client.parameters["smtp_tls_note_starttls_offer"] = "yes"
    with fake_server({"EHLO": EHLO}) as server:
        assert "Host offered STARTTLS: [127.0.0.1]" in client.deliver_one(server.nexthop).log


def test_replies_that_come_too_early(client: ClientUnderTest, authority: Authority) -> None:
    """CVE-2009-3555: replies to commands that somebody else has put before ours end the session."""
    client.parameters |= {"smtp_tls_security_level": "encrypt", "inet_protocols": "ipv4"}

    def hello(number: int, argument: str) -> str:
        return "250-mx.test\n250 STARTTLS" if number == 1 else "250-mx.test\n250 PIPELINING\n250 2.1.0 Ok"

    with fake_server({"EHLO": hello}, context=authority.issue("any.test").server_context) as server:
        outcome = client.deliver_one(f"[localhost]:{server.port}")
        assert outcome.one.status == "deferred"
        assert not any(command.startswith("MAIL") for command in server.commands)


def test_a_session_is_resumed(client: ClientUnderTest, authority: Authority) -> None:
    client.parameters |= {"smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "1", "inet_protocols": "ipv4"}
    client.parameters["smtp_connection_cache_on_demand"] = "no"
    with fake_server({"EHLO": EHLO}, context=authority.issue("any.test").server_context) as server:
        nexthop = f"[localhost]:{server.port}"
        outcomes = client.deliver(*(client.request(nexthop) for _ in range(3)))
    assert [outcome.one.status for outcome in outcomes] == ["sent"] * 3
    resumed = [any("(resumed)" in line for line in outcome.log) for outcome in outcomes]
    assert resumed == [False, True, True]


class TestMtaSts:
    @pytest.fixture
    def world(
        self, client: ClientUnderTest, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> StsWorld:
        return StsWorld(client, authority, monkeypatch)

    def test_enforce_wants_a_trusted_certificate_for_the_host(self, world: StsWorld) -> None:
        outcome, server = world.send("enforce", world.authority.issue(HOST))
        assert (outcome.one.status, status_of(outcome)) == ("sent", "verify/sts")
        assert server.heard[0].encrypted

    @pytest.mark.parametrize("how", ["name", "expired", "authority", "clear"])
    def test_enforce_defers_otherwise(self, world: StsWorld, tmp_path: Path, how: str) -> None:
        certificate = {
            "name": lambda: world.authority.issue("other.test"),
            "expired": lambda: world.authority.issue(HOST, expired=True),
            "authority": lambda: Authority(tmp_path / "x").issue(HOST),
            "clear": lambda: world.authority.issue(HOST),
        }[how]()
        outcome, server = world.send("enforce", certificate, CLEAR if how == "clear" else EHLO)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.4" if how == "clear" else "4.7.5")
        assert not server.messages

    def test_enforce_refuses_a_host_that_is_not_listed(self, world: StsWorld) -> None:
        outcome, server = world.send("enforce", world.authority.issue(HOST), mx="other.example")
        assert outcome.one.status == "deferred"
        assert "is not one of the MTA-STS policy of sts.example" in outcome.one.text
        assert not server.commands

    @pytest.mark.parametrize("ehlo", [EHLO, CLEAR], ids=["tls", "clear"])
    def test_testing_delivers_and_reports(self, world: StsWorld, reports: list[TlsOutcome], ehlo: str) -> None:
        world.client.parameters["smtp_tlsrpt_enable"] = "yes"
        outcome, server = world.send("testing", world.authority.issue("other.test"), ehlo)
        assert outcome.one.status == "sent", outcome.one.text
        assert len(server.messages) == 1
        assert (reports[0].policy_type, reports[0].policy_domain) == ("sts", "sts.example")
        assert reports[0].failure == ("certificate-host-mismatch" if ehlo is EHLO else "starttls-not-supported")

    def test_a_policy_that_cannot_be_had_is_none(self, world: StsWorld, reports: list[TlsOutcome]) -> None:
        world.client.parameters["smtp_tlsrpt_enable"] = "yes"
        world.problem = "sts-policy-fetch-error"
        outcome, _ = world.send("enforce", world.authority.issue("other.test"))
        assert (outcome.one.status, status_of(outcome)) == ("sent", "may")
        assert [report.failure for report in reports] == ["sts-policy-fetch-error", ""]
        assert [report.policy_type for report in reports] == ["sts", "no-policy-found"]

    def test_a_success_is_reported(self, world: StsWorld, reports: list[TlsOutcome]) -> None:
        world.client.parameters["smtp_tlsrpt_enable"] = "yes"
        world.send("enforce", world.authority.issue(HOST))
        (report,) = reports
        assert report == TlsOutcome(
            "sts.example",
            "sts",
            ("version: STSv1", "mode: enforce", f"mx: {HOST}", "max_age: 86400"),
            (HOST,),
            sending_mta_ip="127.0.0.1",
            receiving_mx=HOST,
            receiving_ip="127.0.0.1",
        )

    @pytest.mark.parametrize(
        ("how", "failure"),
        [("name", "certificate-host-mismatch"), ("expired", "certificate-expired"), ("own", "certificate-not-trusted")],
    )
    def test_failures_are_reported_by_kind(
        self, world: StsWorld, reports: list[TlsOutcome], tmp_path: Path, how: str, failure: str
    ) -> None:
        world.client.parameters["smtp_tlsrpt_enable"] = "yes"
        certificate = {
            "name": lambda: world.authority.issue("other.test"),
            "expired": lambda: world.authority.issue(HOST, expired=True),
            "own": lambda: Authority(tmp_path / "x").issue(HOST),
        }[how]()
        world.send("enforce", certificate)
        assert [report.failure for report in reports] == [failure]

    @pytest.mark.parametrize("how", ["dead", "silent"])
    def test_a_domain_without_a_living_server_is_not_asked_about(self, world: StsWorld, how: str) -> None:
        world.client.parameters |= {"smtp_tcp_port": str(world.port), "smtp_helo_timeout": "1s"}
        with (
            DnsServer(f"sts.example. MX 10 {HOST}.\n{HOST}. A 127.0.0.1") as dns,
            contextlib.closing(socket.socket()) as silent,
        ):
            silent.bind(("127.0.0.1", world.port))
            if how == "silent":
                silent.listen()
            world.client.servers = [Server(dns.address, dns.port)]
            outcome = world.client.deliver_one("sts.example")
        assert ("Connection refused" if how == "dead" else "timed out") in outcome.one.text
        assert not world.asked

    def test_the_sender_may_waive_it(self, world: StsWorld) -> None:
        content = b"Subject: x\nTLS-Required: No\n\nx\n"
        outcome, _ = world.send("enforce", world.authority.issue("other.test"), content=content)
        assert (outcome.one.status, status_of(outcome)) == ("sent", "may")


class StsWorld:
    """A domain with a policy, as the service mta_sts would give it."""

    def __init__(self, client: ClientUnderTest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = client
        self.authority = authority
        self.policy: StsPolicy | None = None
        self.problem = ""
        self.asked = 0
        self.port = unused_port()
        client.parameters |= {
            "smtp_tls_security_level": "may",
            "smtp_mta_sts": "yes",
            "smtp_tls_CAfile": str(authority.certificate),
            "inet_protocols": "ipv4",
        }

        async def policy(_: AsyncMtaStsClient, domain: str) -> StsPolicy | None:
            assert domain == "sts.example"
            self.asked += 1
            if self.problem:
                raise PolicyUnavailable("no", self.problem)
            return self.policy

        monkeypatch.setattr(AsyncMtaStsClient, "policy", policy)

    def send(
        self, mode: str, certificate: Certificate, ehlo: str = EHLO, mx: str = HOST, **fields: object
    ) -> tuple[Outcome, FakeServer]:
        text = f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n"
        self.policy = parse_policy("sts.example", "1", text)
        zone = f"sts.example. MX 10 {HOST}.\n{HOST}. A 127.0.0.1"
        with (
            DnsServer(zone) as dns,
            fake_server({"EHLO": ehlo}, port=self.port, context=certificate.server_context) as server,
        ):
            self.client.servers = [Server(dns.address, dns.port)]
            outcome = self.client.deliver_one(f"sts.example:{self.port}", **fields)
            assert self.asked == 1
            return outcome, server
