"""TLSA records against chains: usage by selector by matching type, each with OpenSSL's engine and without it.

`judge` is a handshake in memory with everything that the client does around it; both ways must come to one verdict.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls import ClientContexts, ClientMaterial, Demand, handshake
from pillarbox.lib.tls.association import Mismatch, authenticate
from pillarbox.lib.tls.dane import as_text, selected, usable
from pillarbox.lib.tls.examination import Unverified, examine
from pillarbox.lib.tls.handshake import Plan, peer_chain, planned

HOST = "mx.example.org"
DEMAND = Demand("associations", ">=TLSv1.2", "HIGH")
NO_MATCH, EXPIRED, HOST_MISMATCH, NOT_TRUSTED = 65, 10, 62, 20
VERIFIED = 0


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def make(
    name: str,
    issuer: Made | None = None,
    *,
    authority: bool = False,
    hosts: Sequence[str] = (),
    days: tuple[float, float] = (-10, 10),
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    path_length: int | None = None,
) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(authority, path_length if authority else None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


ROOT = make("Root", authority=True)
MIDDLE = make("Middle", ROOT, authority=True)
OTHER_ROOT = make("Other", authority=True)
LEAF = make(HOST, MIDDLE, hosts=[HOST])
FOREIGN = make("other.example.net", MIDDLE, hosts=["other.example.net"])
STALE = make(HOST, MIDDLE, hosts=[HOST], days=(-20, -1))
STALE_MIDDLE = make("Middle", ROOT, authority=True, days=(-20, -1))
UNDER_STALE = make(HOST, STALE_MIDDLE, hosts=[HOST])
ALONE = make(HOST, hosts=[HOST])
PRETENDER = make("Pretender", ROOT, hosts=["x"])  # no authority
UNDER_PRETENDER = make(HOST, PRETENDER, hosts=[HOST])
FOR_CLIENTS = make(HOST, MIDDLE, hosts=[HOST], purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
SHORT = make("Short", ROOT, authority=True, path_length=0)
BELOW_SHORT = make("Below", SHORT, authority=True)
UNDER_SHORT = make(HOST, BELOW_SHORT, hosts=[HOST])
NAMELESS = make(HOST, MIDDLE)
WILD = make("wild", MIDDLE, hosts=["*.example.org"])


def record(usage: int, selector: int, matching: int, made: Made) -> TLSA:
    data = made.der if selector == 0 else made.public_key
    match matching:
        case 1:
            data = hashlib.sha256(data).digest()
        case 2:
            data = hashlib.sha512(data).digest()
    return TLSA(usage, selector, matching, data)


def server(tmp_path: Path, chain: Sequence[Made]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = chain[0].key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "server.pem"
    file.write_bytes(key + b"".join(made.pem for made in chain))
    context.load_cert_chain(file)
    return context


@pytest.fixture(params=["openssl", "python"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(handshake, "engine", lambda: None)
    return str(request.param)


def judge(tmp_path: Path, chain: Sequence[Made], records: Sequence[TLSA], names: tuple[str, ...] = (HOST,)) -> int:
    """VERIFIED, or OpenSSL's number for what is wrong."""
    context = ClientContexts(ClientMaterial("")).get(DEMAND)
    plan = Plan(associations=usable(records), names=names)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    with planned(context, plan) as carrier:
        client = carrier.wrap_bio(to_client, to_server, server_hostname=HOST)
    other = server(tmp_path, chain).wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(6):
            for end in (client, other):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        assert examine(client, DEMAND, plan, time.time()) == "Verified"
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    except Unverified as error:
        return error.code
    assert plan.held == (handshake.engine() is not None)
    assert peer_chain(client)[0] == chain[0].der
    return VERIFIED


KINDS = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]


@pytest.mark.parametrize(("selector", "matching"), KINDS)
class TestEndEntity:
    """DANE-EE(3): the server's own certificate, whatever it says of names and dates."""

    def test_a_match(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE], [record(3, selector, matching, LEAF)]) == VERIFIED

    def test_a_match_without_a_chain(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [ALONE], [record(3, selector, matching, ALONE)]) == VERIFIED

    def test_another_certificate(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE], [record(3, selector, matching, ALONE)]) == NO_MATCH

    def test_an_authoritys_certificate_is_none(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE], [record(3, selector, matching, MIDDLE)]) == NO_MATCH

    def test_dates_do_not_count(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [STALE, MIDDLE], [record(3, selector, matching, STALE)]) == VERIFIED

    def test_names_do_not_count(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [FOREIGN, MIDDLE], [record(3, selector, matching, FOREIGN)]) == VERIFIED


@pytest.mark.parametrize(("selector", "matching"), KINDS)
class TestTrustAnchor:
    """DANE-TA(2): an authority, and then everything that a certificate says counts."""

    def test_a_match(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) == VERIFIED

    def test_an_intermediate(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE], [record(2, selector, matching, MIDDLE)]) == VERIFIED

    def test_an_authority_that_is_not_sent(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        whole = matching == 0
        verdict = judge(tmp_path, [LEAF, MIDDLE], [record(2, selector, matching, ROOT)])
        assert (verdict == VERIFIED) is whole

    def test_another_authority(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [LEAF, MIDDLE, ROOT], [record(2, selector, matching, OTHER_ROOT)]) != VERIFIED

    def test_an_authority_that_has_signed_nothing_here(
        self, tmp_path: Path, engine: str, selector: int, matching: int
    ) -> None:
        chain = [ALONE, OTHER_ROOT]
        assert judge(tmp_path, chain, [record(2, selector, matching, OTHER_ROOT)]) != VERIFIED

    def test_another_name(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [FOREIGN, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) == HOST_MISMATCH

    def test_the_name_of_the_next_hop(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        names = (HOST, "other.example.net")
        assert judge(tmp_path, [FOREIGN, MIDDLE, ROOT], [record(2, selector, matching, ROOT)], names) == VERIFIED

    def test_an_expired_certificate(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [STALE, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) == EXPIRED

    def test_an_expired_intermediate(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        chain = [UNDER_STALE, STALE_MIDDLE, ROOT]
        assert judge(tmp_path, chain, [record(2, selector, matching, ROOT)]) == EXPIRED

    def test_no_authority_in_between(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        chain = [UNDER_PRETENDER, PRETENDER, ROOT]
        assert judge(tmp_path, chain, [record(2, selector, matching, ROOT)]) != VERIFIED

    def test_a_certificate_for_clients(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [FOR_CLIENTS, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) != VERIFIED

    def test_a_path_that_is_too_long(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        chain = [UNDER_SHORT, BELOW_SHORT, SHORT, ROOT]
        assert judge(tmp_path, chain, [record(2, selector, matching, ROOT)]) != VERIFIED

    def test_a_common_name_will_do(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [NAMELESS, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) == VERIFIED

    def test_a_wildcard(self, tmp_path: Path, engine: str, selector: int, matching: int) -> None:
        assert judge(tmp_path, [WILD, MIDDLE, ROOT], [record(2, selector, matching, ROOT)]) == VERIFIED


def test_one_of_several_records_is_enough(tmp_path: Path, engine: str) -> None:
    records = [record(3, 1, 1, ALONE), record(2, 0, 1, OTHER_ROOT), record(3, 1, 1, LEAF)]
    assert judge(tmp_path, [LEAF, MIDDLE], records) == VERIFIED


def test_an_end_entity_that_matches_needs_no_name(tmp_path: Path, engine: str) -> None:
    records = [record(2, 0, 1, MIDDLE), record(3, 0, 1, FOREIGN)]
    assert judge(tmp_path, [FOREIGN, MIDDLE], records) == VERIFIED


def test_the_weaker_digest_does_not_decide(tmp_path: Path, engine: str) -> None:
    """RFC 7671 section 9: with SHA-512 there, SHA-256 is not looked at."""
    records = [record(3, 1, 2, ALONE), record(3, 1, 1, LEAF)]
    assert judge(tmp_path, [LEAF, MIDDLE], records) == NO_MATCH


def test_domains_below(tmp_path: Path, engine: str) -> None:
    """Trust anchors of a policy are written as records, and its match may be a .domain."""
    trusted = [record(2, 0, 0, ROOT)]
    assert judge(tmp_path, [LEAF, MIDDLE], trusted, (".example.org",)) == VERIFIED
    assert judge(tmp_path, [LEAF, MIDDLE], trusted, (".example.net",)) == HOST_MISMATCH
    assert judge(tmp_path, [LEAF, MIDDLE], trusted, ("example.org",)) == HOST_MISMATCH


def test_without_a_plan_a_context_for_dane_trusts_nobody(tmp_path: Path) -> None:
    context = ClientContexts(ClientMaterial("")).get(DEMAND)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=HOST)
    other = server(tmp_path, [LEAF, MIDDLE, ROOT]).wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        for _ in range(6):
            for end in (client, other):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue


UNUSABLE = [
    TLSA(0, 0, 1, bytes(32)),
    TLSA(1, 1, 1, bytes(32)),
    TLSA(4, 1, 1, bytes(32)),
    TLSA(3, 2, 1, bytes(32)),
    TLSA(3, 1, 3, bytes(32)),
    TLSA(3, 1, 1, bytes(31)),
    TLSA(3, 1, 1, bytes(64)),
    TLSA(3, 1, 2, bytes(32)),
    TLSA(3, 1, 1, b""),
    TLSA(3, 0, 0, b""),
    TLSA(2, 0, 0, b"no certificate"),
    TLSA(2, 1, 0, b"no key"),
    TLSA(3, 0, 0, bytes(9000)),
]


@pytest.mark.parametrize("bad", UNUSABLE, ids=lambda bad: as_text(bad)[:12])
def test_unusable_records(bad: TLSA) -> None:
    good = record(3, 1, 1, LEAF)
    assert usable([bad]) == ()
    assert usable([bad, good]) == (good,)


def test_records_are_told_once_and_in_order() -> None:
    one, two = record(3, 1, 1, LEAF), record(2, 0, 1, ROOT)
    assert usable([two, one, two]) == (one, two)
    assert len(usable([TLSA(3, 1, 1, bytes([n]) * 32) for n in range(100)])) == 32


def test_a_record_as_text() -> None:
    assert as_text(TLSA(3, 1, 1, bytes.fromhex("00ff"))) == "3 1 1 00ff"


def test_what_is_selected() -> None:
    assert selected(record(3, 1, 1, LEAF), LEAF.der, LEAF.public_key)
    assert not selected(record(3, 0, 1, LEAF), MIDDLE.der, MIDDLE.public_key)


@pytest.mark.parametrize("chain", [[], [b""], [b"\x30\x03\x02\x01\x01"], [LEAF.der[:-1]]])
def test_a_chain_that_is_none_matches_nothing(chain: list[bytes]) -> None:
    with pytest.raises(Mismatch):
        authenticate(chain, usable([record(2, 0, 1, ROOT), record(3, 1, 1, LEAF)]), (HOST,), time.time())
