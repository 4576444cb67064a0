"""The policy table: what an entry says, under which keys it is found, which connections satisfy which policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.dns import TLSA
from pillarbox.lib.smtp.sts_policy import StsPolicy, parse_policy
from pillarbox.lib.tls import LEVELS, TlsError
from pillarbox.lib.tls.anchors import read_anchors
from pillarbox.smtp_client.agreement import NO_TLS, Unprotected, agree
from pillarbox.smtp_client.dane import Published
from pillarbox.smtp_client.destination import parse_destination
from pillarbox.smtp_client.policies import table_keys
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.tls_policy import INSIDE, BadPolicy, PolicyReader, TlsPolicy
from tests.lab.certificates import Authority

DIGEST = "AB:" * 31 + "CD"
HEX = "ab" * 31 + "cd"


def reader(level: str = "may", **parameters: str) -> PolicyReader:
    anchors = {"/etc/anchors.pem": (TLSA(2, 0, 0, b"x"),)}
    return PolicyReader(Config.for_tests(**parameters), level, (), anchors)


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "fingerprint"])
def test_a_level_alone(level: str) -> None:
    policy = reader().read(level)
    assert (policy.level, policy.origin) == (level, "table")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("secure match=.example.com:mx.example.net", "match", (".example.com", "mx.example.net")),
        ("verify match=nexthop:dot-nexthop", "match", ("nexthop", "dot-nexthop")),
        ("verify", "match", ("hostname",)),
        ("secure", "match", ("nexthop", "dot-nexthop")),
        (f"fingerprint match={DIGEST}|{DIGEST}", "fingerprints", (HEX, HEX)),
        ("encrypt protocols=>=TLSv1.3", "versions", ">=TLSv1.3"),
        ("encrypt protocols=TLSv1.2:TLSv1.3", "versions", "TLSv1.2:TLSv1.3"),
        ("secure tafile=/etc/anchors.pem", "anchors", (TLSA(2, 0, 0, b"x"),)),
        ("dane servername=nexthop", "servername", "nexthop"),
        ("may connection_reuse=no", "reuse", False),
        ("ENCRYPT, ciphers=high", "level", "encrypt"),
    ],
)
def test_an_entry(text: str, field: str, value: object) -> None:
    assert getattr(reader().read(text), field) == value


def test_ciphers_are_chosen_and_excluded() -> None:
    parameters = {"tls_high_cipherlist": "HIGH", "tls_medium_cipherlist": "MEDIUM", "smtp_tls_exclude_ciphers": "A"}
    made = reader(**parameters, smtp_tls_mandatory_exclude_ciphers="M")
    assert made.read("encrypt").ciphers == "MEDIUM:!M:!A"
    assert made.read("encrypt ciphers=high exclude=B:C").ciphers == "HIGH:!M:!A:!B:!C"
    assert made.read("may exclude=B").ciphers == "MEDIUM:!A:!B:@SECLEVEL=0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sometimes",
        "may match=x",
        "secure match=",
        "secure match=a b",
        "secure match=-x",
        "secure match=*.example.com",
        "fingerprint",
        "fingerprint match=ab:cd",
        "fingerprint match=" + "xy" * 32,
        "encrypt protocols=TLSv9",
        "encrypt ciphers=low",
        "encrypt tafile=/etc/passwd",
        "encrypt colour=blue",
        "may connection_reuse=perhaps",
        "may " + "x" * 5000,
    ],
)
def test_a_bad_entry(text: str) -> None:
    with pytest.raises(BadPolicy):
        reader().read(text)


@given(st.text(max_size=60), st.sampled_from(LEVELS))
def test_any_entry_is_read_or_refused(text: str, level: str) -> None:
    for entry in (text, f"{level} {text}", f"{level} match={text}"):
        try:
            policy = reader().read(entry)
        except BadPolicy:
            continue
        assert policy.level in LEVELS
        assert policy.satisfied_by(policy)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Mail.Example.org", ("mail.example.org", ".example.org", ".org")),
        ("[mail.example.org]:587", ("[mail.example.org]:587",)),
        ("[mail.example.org]", ("[mail.example.org]",)),
        ("example.org:2525", ("example.org:2525",)),
        ("[192.0.2.1]", ("[192.0.2.1]",)),
        ("Bücher.example", ("bücher.example", "xn--bcher-kva.example", ".example")),
    ],
)
def test_keys(text: str, keys: tuple[str, ...]) -> None:
    assert table_keys(text, parse_destination(text, 25)) == keys


STS = parse_policy("example.org", "1", "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n")
TESTING = parse_policy("example.org", "1", "version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n")


@pytest.mark.parametrize(
    ("made", "wanted", "expected"),
    [
        (TlsPolicy("may"), TlsPolicy("may"), True),
        (TlsPolicy("secure", domain="a"), TlsPolicy("may"), True),
        (TlsPolicy("none"), TlsPolicy("may"), False),
        (TlsPolicy("may"), TlsPolicy("none"), True),
        (TlsPolicy("may"), TlsPolicy("encrypt"), False),
        (TlsPolicy("dane", domain="a"), TlsPolicy("encrypt"), False),
        (TlsPolicy("dane-only", domain="a"), TlsPolicy("encrypt"), True),
        (TlsPolicy("secure", domain="a"), TlsPolicy("secure", domain="b"), False),
        (TlsPolicy("secure", domain="a"), TlsPolicy("verify", domain="a"), False),
        (TlsPolicy("may"), TlsPolicy("may", sts=STS, domain="a"), False),
        (TlsPolicy("may"), TlsPolicy("may", insists=True, domain="a"), False),
        (TlsPolicy("encrypt"), TlsPolicy("encrypt", insists=True, domain="a"), False),
        (INSIDE, TlsPolicy("secure", domain="a"), True),
    ],
)
def test_which_connection_will_do(made: TlsPolicy, wanted: TlsPolicy, expected: bool) -> None:
    assert wanted.satisfied_by(made) is expected


SERVER = Server("mx.example.org", "192.0.2.1", 25)
AUTHENTIC = replace(SERVER, name_authentic=True, address_authentic=True)
RECORD = TLSA(3, 1, 1, bytes(32))
PUBLISHED = Published("mx.example.org", (RECORD,), (RECORD,))


def with_sts(level: str, sts: StsPolicy, **fields: bool) -> TlsPolicy:
    return replace(reader().read(level), origin="default", sts=sts, **fields)  # type: ignore[arg-type]


class TestAgreement:
    def test_dane_wins_over_mta_sts(self) -> None:
        made = agree(with_sts("dane", STS), AUTHENTIC, "example.org", PUBLISHED)
        assert (made.status, made.basis.type, made.otherwise) == ("dane", "tlsa", None)

    def test_records_that_prove_nothing_replace_no_proof_that_is_demanded(self) -> None:
        useless = Published("mx.example.org", (RECORD,), ())
        assert agree(with_sts("dane", TESTING), AUTHENTIC, "example.org", useless).status == "encrypt/dane"
        assert agree(with_sts("dane", STS), AUTHENTIC, "example.org", useless).status == "verify/sts"
        required = replace(reader().read("dane"), insists=True)
        made = agree(required, AUTHENTIC, "example.org", useless)
        assert (made.status, made.names, made.otherwise) == ("verify/requiretls", ("mx.example.org",), None)

    def test_records_of_a_host_that_an_unsigned_mx_names_replace_no_mta_sts_policy(self) -> None:
        stranger = replace(SERVER, host="mx.evil.test", address_authentic=True)
        published = Published("mx.evil.test", (RECORD,), (RECORD,))
        with pytest.raises(Unprotected, match=r"not one of the MTA-STS policy of example\.org"):
            agree(with_sts("dane", STS), stranger, "example.org", published, insecure_mx="dane")

    def test_mta_sts_counts_where_there_are_no_records(self) -> None:
        made = agree(with_sts("dane", STS), AUTHENTIC, "example.org", None)
        assert (made.status, made.names, made.common_name) == ("verify/sts", ("mx.example.org",), False)
        assert made.demand is not None
        assert made.demand.trust == "authorities"
        assert made.otherwise is None
        assert made.basis.strings[0] == "version: STSv1"

    def test_testing_demands_nothing_in_the_end(self) -> None:
        made = agree(with_sts("may", TESTING), SERVER, "example.org", None)
        assert made.status == "verify/sts"
        assert made.otherwise is not None
        assert made.otherwise.status == "may"
        assert made.otherwise.otherwise == NO_TLS

    def test_a_server_that_is_not_in_the_policy(self) -> None:
        with pytest.raises(Unprotected, match=r"not one of the MTA-STS policy of example\.org"):
            agree(with_sts("may", STS), replace(SERVER, host="mx.evil.test"), "example.org", None)

    def test_requiretls_is_satisfied_by_mta_sts(self) -> None:
        for sts in (STS, TESTING):
            made = agree(with_sts("may", sts, insists=True), SERVER, "example.org", None)
            assert (made.status, made.otherwise) == ("verify/sts", None)

    def test_requiretls_waits_for_what_may_prove_it(self) -> None:
        policy = replace(reader().read("may"), insists=True)
        with pytest.raises(Unprotected) as found:
            agree(policy, SERVER, "example.org", None)
        assert found.value.dsn == "4.7.10"
        with pytest.raises(Unprotected) as found:
            agree(replace(policy, sts_unknown=True), SERVER, "example.org", None)
        assert found.value.dsn == "4.4.3"

    def test_names_by_strategy(self) -> None:
        policy = reader().read("secure match=hostname:nexthop:dot-nexthop:other.test:.sub.test")
        made = agree(policy, SERVER, "example.org", None)
        assert made.names == ("mx.example.org", "example.org", ".example.org", "other.test", ".sub.test")

    @pytest.mark.parametrize(
        ("servername", "sni"), [("hostname", "mx.example.org"), ("nexthop", "example.org"), ("x.test", "x.test")]
    )
    def test_the_name_that_servers_are_told(self, servername: str, sni: str) -> None:
        assert agree(reader().read(f"may servername={servername}"), SERVER, "example.org", None).sni == sni


def test_anchors_are_read_from_files(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (anchor,) = read_anchors(str(authority.certificate))
    assert (anchor.usage, anchor.selector, anchor.matching) == (2, 0, 0)
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    for file in (bad, tmp_path / "missing.pem", authority.directory):
        with pytest.raises(TlsError):
            read_anchors(str(file))
