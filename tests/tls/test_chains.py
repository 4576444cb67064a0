"""Chain files: key and certificate in one file, several algorithms side by side."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import TlsError, server_context
from tests.tls.authority import Authority, Issued
from tests.tls.handshakes import client, shake


@pytest.fixture
def issued(tmp_path: Path) -> dict[str, Issued]:
    authority = Authority(tmp_path)
    return {kind: authority.issue("mail.example.com", kind=kind) for kind in ("ecdsa", "rsa", "ed25519")}


def served(context: ssl.SSLContext, algorithm: str) -> bytes | None:
    """What a client gets that understands one kind of signature only."""
    connecting = client()
    connecting.maximum_version = ssl.TLSVersion.TLSv1_2
    connecting.set_ciphers(f"ECDHE-{algorithm}-AES128-GCM-SHA256")
    near, _ = shake(context, connecting)
    return near.getpeercert(binary_form=True)


def made(*files: str | Path) -> ssl.SSLContext:
    context = server_context(Config.for_tests(smtpd_tls_chain_files=", ".join(map(str, files))))
    assert context is not None
    return context


def test_rsa_and_ecdsa_stand_side_by_side(issued: dict[str, Issued]) -> None:
    context = made(issued["ecdsa"].chain_file, issued["rsa"].chain_file)
    assert served(context, "ECDSA") == issued["ecdsa"].der
    assert served(context, "RSA") == issued["rsa"].der


def test_one_file_may_hold_both(issued: dict[str, Issued], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(Path(issued["rsa"].chain_file).read_text() + Path(issued["ecdsa"].chain_file).read_text())
    context = made(both)
    assert served(context, "ECDSA") == issued["ecdsa"].der
    assert served(context, "RSA") == issued["rsa"].der


def test_a_client_of_tls_1_3_gets_the_best_that_it_knows(issued: dict[str, Issued]) -> None:
    near, _ = shake(made(issued["rsa"].chain_file, issued["ecdsa"].chain_file), client())
    assert near.getpeercert(binary_form=True) == issued["ecdsa"].der


def test_a_file_with_a_foreign_key_in_it_is_named(issued: dict[str, Issued], tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.pem"
    mixed.write_text(
        Path(issued["ecdsa"].chain_file).read_text()
        + Path(issued["rsa"].key_file).read_text()
        + Path(issued["ed25519"].cert_file).read_text()
    )
    with pytest.raises(TlsError, match=r"mixed\.pem"):
        made(mixed)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge.pem"
    huge.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(TlsError, match="too large"):
        made(huge)


def test_an_encrypted_key_is_an_error_and_no_question(issued: dict[str, Issued], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    secret = issued["ecdsa"].key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    chain = tmp_path / "encrypted.pem"
    chain.write_bytes(secret + Path(issued["ecdsa"].cert_file).read_bytes())
    with pytest.raises(TlsError, match=r"encrypted\.pem"):
        made(chain)
