"""The self-signed certificate of a new instance."""

from __future__ import annotations

import datetime
import ipaddress
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pillarbox.lib.tls.certificate import make_certificate, write_certificate

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_it_names_the_host_and_this_machine() -> None:
    pem, _ = make_certificate("mail.example.com", ("imap.example.com",), now=NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.com", "imap.example.com", "localhost"]
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert certificate.subject == certificate.issuer


def test_it_is_valid_now_and_for_years() -> None:
    certificate = x509.load_pem_x509_certificate(make_certificate("h.example", now=NOW)[0])
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc > NOW + datetime.timedelta(days=3000)


def test_the_key_is_p256() -> None:
    key = x509.load_pem_x509_certificate(make_certificate("h.example", now=NOW)[0]).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_a_long_host_name_is_no_obstacle() -> None:
    host = ".".join(["a" * 40] * 4)
    certificate = x509.load_pem_x509_certificate(make_certificate(host, now=NOW)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in names.get_values_for_type(x509.DNSName)


def test_the_key_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_certificate(tmp_path / "tls/cert.pem", tmp_path / "tls/key.pem", "h.example", now=NOW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "tls/key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls/cert.pem").stat().st_mode) == 0o644
    assert sorted(file.name for file in (tmp_path / "tls").iterdir()) == ["cert.pem", "key.pem"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "key.pem").mkdir()
    with pytest.raises(OSError):
        write_certificate(tmp_path / "cert.pem", tmp_path / "key.pem", "h.example", now=NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["key.pem"]
