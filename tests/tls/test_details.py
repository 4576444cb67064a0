"""What is said of key exchange and signature; ciphers by grade; the walk through a certificate; channel binding."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import ServerRole, TlsError, native, server_context, tls_facts
from pillarbox.lib.tls.binding import end_point_of, exporter, server_end_point
from pillarbox.lib.tls.der import public_key_info
from tests.feeding import truncations
from tests.tls.authority import Authority, Issued
from tests.tls.handshakes import client, shake


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def config(issued: Issued, **values: str) -> Config:
    return Config.for_tests(smtpd_tls_chain_files=issued.chain_file, **values)


def made(issued: Issued, role: ServerRole | None = None, **values: str) -> ssl.SSLContext:
    context = server_context(config(issued, **values), role or ServerRole())
    assert context is not None
    return context


@pytest.mark.parametrize(
    ("kind", "version", "words"),
    [
        ("ecdsa", "1.3", "key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256"),
        ("rsa", "1.3", "key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"),
        ("ed25519", "1.3", "key-exchange X25519 server-signature Ed25519"),
        ("ecdsa", "1.2", "key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256"),
        ("rsa", "1.2", "key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"),
    ],
)
def test_key_exchange_and_signature_are_told(authority: Authority, kind: str, version: str, words: str) -> None:
    connecting = client()
    if version == "1.2":
        connecting.maximum_version = ssl.TLSVersion.TLSv1_2
    _, server = shake(made(authority.issue("mail.example.com", kind=kind)), connecting)
    assert tls_facts(server, "sha256").exchange == words


def test_a_curve_is_told_by_its_name(authority: Authority) -> None:
    connecting = client()
    connecting.set_ecdh_curve("prime256v1")
    _, server = shake(made(authority.issue("mail.example.com")), connecting)
    assert tls_facts(server, "sha256").exchange.startswith("key-exchange ECDHE (P-256) ")


def test_the_clients_signature_is_told(authority: Authority) -> None:
    shown = authority.issue("client.example", client=True)
    context = made(authority.issue("mail.example.com"), ServerRole(asks=True))
    _, server = shake(context, client(chain=(shown.cert_file, shown.key_file)))
    assert tls_facts(server, "sha256").exchange.endswith("client-signature ECDSA client-digest SHA256")


def test_sessions_that_are_alike_share_what_is_known(authority: Authority) -> None:
    context = made(authority.issue("mail.example.com"))
    first, second = (tls_facts(shake(context, client())[1], "sha256") for _ in range(2))
    assert first is second
    assert (first.protocol, first.cipher, first.bits) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


def test_without_the_library_nothing_is_made_up(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    _, server = shake(made(authority.issue("mail.example.com")), client())
    facts = tls_facts(server, "sha256")
    assert facts.exchange == ""
    assert facts.details == facts.text == "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    assert exporter(server) is None
    assert server_end_point(server) is None


# --- ciphers
def agreed(context: ssl.SSLContext, ciphers: str) -> str:
    connecting = client()
    connecting.maximum_version = ssl.TLSVersion.TLSv1_2
    connecting.set_ciphers(ciphers)
    near, _ = shake(context, connecting)
    cipher = near.cipher()
    assert cipher is not None
    return cipher[0]


def test_the_optional_grade_serves_old_peers_and_the_mandatory_one_does_not(authority: Authority) -> None:
    rsa = authority.issue("mail.example.com", kind="rsa")
    assert agreed(made(rsa), "AES128-SHA") == "AES128-SHA"
    with pytest.raises(ssl.SSLError):
        agreed(made(rsa, ServerRole(mandatory=True)), "AES128-SHA")


def test_ciphers_are_excluded_by_name_and_kind(authority: Authority) -> None:
    rsa = authority.issue("mail.example.com", kind="rsa")
    with pytest.raises(ssl.SSLError):
        agreed(made(rsa, smtpd_tls_exclude_ciphers="kRSA, SHA1"), "AES128-GCM-SHA256")
    both = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
    assert agreed(made(rsa, smtpd_tls_exclude_ciphers="AES256"), both) == "ECDHE-RSA-AES128-GCM-SHA256"
    further = {"smtpd_tls_mandatory_exclude_ciphers": "AES256"}
    assert agreed(made(rsa, **further), both) == "ECDHE-RSA-AES256-GCM-SHA384"
    assert agreed(made(rsa, ServerRole(mandatory=True), **further), both) == "ECDHE-RSA-AES128-GCM-SHA256"


def test_the_servers_order_counts_unless_told_otherwise(authority: Authority) -> None:
    rsa = authority.issue("mail.example.com", kind="rsa")
    order = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
    assert agreed(made(rsa), order) == "ECDHE-RSA-AES256-GCM-SHA384"
    assert agreed(made(rsa, tls_preempt_cipherlist="no"), order) == "ECDHE-RSA-AES128-GCM-SHA256"


def test_mandatory_tls_has_versions_of_its_own(authority: Authority) -> None:
    issued = authority.issue("mail.example.com")
    old = client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    values = {"smtpd_tls_mandatory_protocols": ">=TLSv1.3"}
    shake(made(issued, **values), old)
    with pytest.raises(ssl.SSLError):
        shake(made(issued, ServerRole(mandatory=True), **values), old)


def test_exclusions_that_leave_nothing_are_refused(authority: Authority) -> None:
    with pytest.raises(TlsError, match="after the exclusions"):
        made(authority.issue("mail.example.com"), smtpd_tls_exclude_ciphers="ALL")


# --- certificates
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_the_public_key_is_found_in_a_certificate(authority: Authority, kind: str) -> None:
    issued = authority.issue("mail.example.com", kind=kind, emails=("a@b.example",))
    assert public_key_info(issued.der) == issued.key_info


def test_what_is_no_certificate_is_refused(authority: Authority) -> None:
    whole = authority.issue("mail.example.com").der
    for cut in truncations(whole):
        with pytest.raises(ValueError, match="not a certificate"):
            public_key_info(cut)
    for wrong in (b"", b"\x30\x80", b"\x30\x85\0\0\0\0\0", b"\x31\x00", b"\x30\x02\x30\x00", b"\xff" * 40):
        with pytest.raises(ValueError, match="not a certificate"):
            public_key_info(wrong)


# --- channel binding
def test_the_exporter_is_the_same_at_both_ends_and_different_each_time(authority: Authority) -> None:
    context = made(authority.issue("mail.example.com"))
    seen = set()
    for _ in range(2):
        near, far = shake(context, client())
        assert exporter(far) == exporter(near)
        seen.add(exporter(far))
    assert len(seen) == 2
    assert all(value is not None and len(value) == 32 for value in seen)


def test_tls_1_2_has_no_exporter_binding(authority: Authority) -> None:
    old = client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert exporter(shake(made(authority.issue("mail.example.com")), old)[1]) is None


def test_the_end_point_is_the_certificate_that_was_sent(authority: Authority) -> None:
    issued = authority.issue("mail.example.com")
    _, far = shake(made(issued), client())
    assert server_end_point(far) == hashlib.sha256(issued.der).digest()


def test_a_signature_without_a_digest_has_no_end_point(authority: Authority) -> None:
    assert end_point_of(authority.issue("x", kind="ed25519", own=True).der) is None


# --- the library
def test_the_library_is_there_where_the_suite_is_tested() -> None:
    assert native.library() is not None


def test_objects_of_another_layout_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where the pointers should be: it is found out without a crash."""
    for header in (0, 8, 24, 32, 40):
        monkeypatch.setattr(native, "_HEAD", header)
        native.library.cache_clear()
        assert native.library() is None
    monkeypatch.undo()
    native.library.cache_clear()
    assert native.library() is not None


def test_a_library_without_the_functions_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(native._FUNCTIONS, "SSL_of_the_future", (None, ()))
    native.library.cache_clear()
    assert native.library() is None
    monkeypatch.undo()
    native.library.cache_clear()
    assert native.library() is not None


def test_a_strange_session_has_no_address() -> None:
    assert native.session_address(object()) == 0  # type: ignore[arg-type]
