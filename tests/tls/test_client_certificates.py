"""Client certificates: trusted ones, untrusted ones with their fingerprints, and none."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import (
    ClientCertificate,
    ServerRole,
    TlsError,
    native,
    server_context,
    smtp_role,
    tls_facts,
    trust,
)
from tests.tls.authority import Authority, Issued
from tests.tls.handshakes import client, shake

ASKS, REQUIRES = ServerRole(asks=True), ServerRole(mandatory=True, asks=True, requires=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def config(authority: Authority) -> Config:
    server = authority.issue("mail.example.com", hosts=("mail.example.com",))
    return Config.for_tests(
        smtpd_tls_cert_file=server.cert_file, smtpd_tls_key_file=server.key_file, smtpd_tls_CAfile=str(authority.file)
    )


def changed(config: Config, **values: str) -> Config:
    return Config({**config.values, **values})


def served(config: Config, role: ServerRole = ASKS) -> ssl.SSLContext:
    context = server_context(config, role)
    assert context is not None
    return context


def seen(context: ssl.SSLContext, shown: Issued | None, version: str = "TLSv1.3") -> ClientCertificate | None:
    """What the server knows of a client that shows this."""
    connecting = client(chain=(shown.cert_file, shown.key_file) if shown else None)
    if version == "TLSv1.2":
        connecting.maximum_version = ssl.TLSVersion.TLSv1_2
    _, server = shake(context, connecting)
    return tls_facts(server, "sha256").certificate


def colons(data: bytes) -> str:
    return hashlib.sha256(data).digest().hex(":").upper()


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_trusted_client_is_named(config: Config, authority: Authority, version: str) -> None:
    shown = authority.issue("client.example", client=True, emails=("ann@example.com",))
    assert seen(served(config), shown, version) == ClientCertificate(
        "client.example", "Test Authority", colons(shown.der), colons(shown.key_info), True, "", ("ann@example.com",)
    )


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_self_signed_certificate_is_taken_and_not_trusted(config: Config, authority: Authority, version: str) -> None:
    shown = authority.issue("liar", client=True, own=True)
    found = seen(served(config), shown, version)
    assert found is not None
    assert not found.trusted
    assert "self-signed" in found.problem
    assert (found.fingerprint, found.pubkey_fingerprint) == (colons(shown.der), colons(shown.key_info))


def test_a_certificate_of_an_unknown_authority_is_not_trusted(config: Config, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Other Authority")
    found = seen(served(config), other.issue("client.example", client=True))
    assert found is not None
    assert (found.trusted, found.issuer) == (False, "Other Authority")


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)])
def test_an_expired_or_future_certificate_is_not_trusted(
    config: Config, authority: Authority, days: tuple[float, float]
) -> None:
    found = seen(served(config), authority.issue("client.example", client=True, days=days))
    assert found is not None
    assert not found.trusted


def test_a_servers_certificate_is_no_trusted_clients(config: Config, authority: Authority) -> None:
    found = seen(served(config), authority.issue("mx.example", hosts=("mx.example",)))
    assert found is not None
    assert not found.trusted
    assert "purpose" in found.problem


def test_without_authorities_nobody_is_trusted(config: Config, authority: Authority) -> None:
    found = seen(served(changed(config, smtpd_tls_CAfile="")), authority.issue("client.example", client=True))
    assert found is not None
    assert not found.trusted


def test_authorities_may_come_as_a_directory(config: Config, authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "one.pem").write_bytes(authority.file.read_bytes())
    (folder / "README").write_text("no certificate")
    context = served(changed(config, smtpd_tls_CAfile="", smtpd_tls_CApath=str(folder)))
    found = seen(context, authority.issue("client.example", client=True))
    assert found is not None
    assert found.trusted


def test_a_client_without_one_gets_a_session(config: Config) -> None:
    assert seen(served(config), None) is None


def test_nobody_is_asked_by_default(config: Config, authority: Authority) -> None:
    role = smtp_role(config)
    assert role is not None
    assert seen(served(config, role), authority.issue("client.example", client=True)) is None


def test_where_one_is_required_only_trusted_ones_get_a_session(config: Config, authority: Authority) -> None:
    context = served(config, REQUIRES)
    found = seen(context, authority.issue("client.example", client=True))
    assert found is not None
    assert found.trusted
    for shown in (None, authority.issue("liar", client=True, own=True)):
        with pytest.raises(ssl.SSLError):
            seen(context, shown)


def test_requiring_needs_mandatory_tls(config: Config) -> None:
    optional = smtp_role(changed(config, smtpd_tls_req_ccert="yes"))
    assert optional == ServerRole(asks=True)
    wrapped = smtp_role(changed(config, smtpd_tls_req_ccert="yes", smtpd_tls_wrappermode="yes"))
    assert wrapped == REQUIRES
    encrypted = smtp_role(changed(config, smtpd_tls_req_ccert="yes", smtpd_tls_security_level="encrypt"))
    assert encrypted == REQUIRES


def test_a_missing_authority_file_is_named(config: Config) -> None:
    with pytest.raises(TlsError, match=r"/nonexistent/ca\.pem: No such file"):
        served(changed(config, smtpd_tls_CAfile="/nonexistent/ca.pem"))
    with pytest.raises(TlsError, match="smtpd_tls_CApath"):
        served(changed(config, smtpd_tls_CApath="/nonexistent/"))


def test_control_characters_in_a_name_do_not_reach_the_log(config: Config, authority: Authority) -> None:
    found = seen(served(config), authority.issue("evil\r\nwarning: \x1b[31m", client=True))
    assert found is not None
    assert found.subject == "evil??warning: ?[31m"


def test_the_digest_is_chosen(config: Config, authority: Authority) -> None:
    shown = authority.issue("client.example", client=True)
    _, server = shake(served(config), client(chain=(shown.cert_file, shown.key_file)))
    found = tls_facts(server, "sha1").certificate
    assert found is not None
    assert found.fingerprint == hashlib.sha1(shown.der).digest().hex(":").upper()


def test_what_is_said_of_a_session(config: Config, authority: Authority) -> None:
    context = served(config)
    good, bad = authority.issue("good", client=True), authority.issue("bad", client=True, own=True)
    said = []
    for shown in (good, bad, None):
        _, server = shake(context, client(chain=(shown.cert_file, shown.key_file) if shown else None))
        facts = tls_facts(server, "sha256")
        said.append((facts.status, facts.presence))
    assert said == [
        ("Trusted", 'Client CN "good", Issuer "Test Authority" (verified OK)'),
        ("Untrusted", 'Client CN "bad", Issuer "bad" (not verified)'),
        ("Anonymous", "Client did not present a certificate"),
    ]
    _, server = shake(served(config, ServerRole()), client())
    assert tls_facts(server, "sha256").presence == "No client certificate requested"


def test_without_the_library_untrusted_certificates_end_the_handshake(
    config: Config, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.setattr(trust, "_told", [])
    context = served(config)
    found = seen(context, authority.issue("client.example", client=True))
    assert found is not None
    assert found.trusted
    assert seen(context, None) is None
    with pytest.raises(ssl.SSLError):
        seen(context, authority.issue("liar", client=True, own=True))
