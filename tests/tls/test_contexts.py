"""Server and client contexts, shown by handshakes in memory."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import TlsError, cipher_text, client_context, is_verifying, peer_status, server_context
from pillarbox.lib.tls.certificate import write_certificate

HOST = "mail.example.com"

# The old versions are named on purpose: what the servers say to them is tested.
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion")


def make(folder: Path, name: str = "cert") -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    write_certificate(certificate, key, HOST, now=datetime.datetime.now(datetime.UTC))
    return str(certificate), str(key)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    certificate, key = make(tmp_path)
    return Config.for_tests(
        smtpd_tls_cert_file=certificate,
        smtpd_tls_key_file=key,
        smtp_tls_CAfile=certificate,
        tls_medium_cipherlist="ALL",
    )


def changed(config: Config, **values: str) -> Config:
    return Config({**config.values, **values})


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = HOST) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake; raises ssl.SSLError of the end that refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = set()
    for _ in range(20):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            return ends
    raise AssertionError("the handshake does not come to an end")


def served(config: Config) -> ssl.SSLContext:
    context = server_context(config)
    assert context is not None
    return context


@pytest.mark.parametrize("level", ["may", "encrypt", "verify", "secure"])
def test_every_level_shakes_hands_with_a_good_server(config: Config, level: str) -> None:
    client, server = handshake(served(config), client_context(config, level))
    assert client.version() == server.version() == "TLSv1.3"


@pytest.mark.parametrize("level", ["verify", "secure"])
def test_verifying_levels_refuse_another_name(config: Config, level: str) -> None:
    assert is_verifying(level)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served(config), client_context(config, level), "other.example.com")


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_other_levels_take_any_certificate(config: Config, level: str, tmp_path: Path) -> None:
    assert not is_verifying(level)
    handshake(served(config), client_context(config, level), "other.example.com")


def test_an_unknown_authority_is_refused_when_verifying(config: Config, tmp_path: Path) -> None:
    other, _ = make(tmp_path, "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served(config), client_context(changed(config, smtp_tls_CAfile=other), "secure"))


def test_old_versions_are_refused_by_default(config: Config) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(served(config), client)


def test_the_version_list_is_obeyed(config: Config) -> None:
    client, _ = handshake(
        served(changed(config, smtpd_tls_protocols=">=TLSv1.2, <=TLSv1.2")), client_context(config, "may")
    )
    assert client.version() == "TLSv1.2"


def test_the_cipher_text_is_postfixs(config: Config) -> None:
    client, server = handshake(served(config), client_context(config, "may"))
    assert cipher_text(server) == "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    assert cipher_text(client) == cipher_text(server)


def test_secret_and_algorithm_bits_are_told_apart(config: Config) -> None:
    server = served(
        changed(config, smtpd_tls_protocols="TLSv1.2", tls_medium_cipherlist="ECDHE-ECDSA-AES128-GCM-SHA256")
    )
    _, end = handshake(server, client_context(config, "may"))
    assert cipher_text(end) == "TLSv1.2 with cipher ECDHE-ECDSA-AES128-GCM-SHA256 (128/128 bits)"


def test_there_is_no_cipher_text_without_tls(config: Config) -> None:
    assert cipher_text(None) == ""
    incoming = served(config).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert cipher_text(incoming) == ""


def test_a_chain_file_holds_key_and_certificate(config: Config, tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "parts")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(Path(key).read_bytes() + Path(certificate).read_bytes())
    trusting = changed(config, smtp_tls_CAfile=certificate)
    handshake(served(changed(config, smtpd_tls_chain_files=str(chain))), client_context(trusting, "secure"))


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_context(Config.for_tests()) is None
    assert server_context(Config.for_tests(smtpd_tls_cert_file="")) is None


def test_a_configured_certificate_that_is_missing_is_an_error(config: Config) -> None:
    with pytest.raises(TlsError, match=r"/nonexistent/c\.pem: No such file"):
        server_context(changed(config, smtpd_tls_cert_file="/nonexistent/c.pem"))


def test_a_key_of_another_certificate_is_named(config: Config, tmp_path: Path) -> None:
    _, key = make(tmp_path, "other")
    with pytest.raises(TlsError, match="does not belong to the certificate"):
        server_context(changed(config, smtpd_tls_key_file=key))


def test_garbage_is_no_certificate(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "garbage.pem"
    file.write_text("garbage")
    with pytest.raises(TlsError, match="no usable PEM"):
        server_context(changed(config, smtpd_tls_cert_file=str(file), smtpd_tls_key_file=str(file)))


@pytest.mark.parametrize("value", ["TLSv9", ">=SSL", "!TLSv1.2, >=TLSv1.1", ">=TLSv1.3 !TLSv1.3", "<TLSv1"])
def test_impossible_version_lists_are_refused(config: Config, value: str) -> None:
    with pytest.raises(TlsError):
        server_context(changed(config, smtpd_tls_protocols=value))


@pytest.mark.parametrize(
    "value", ["!SSLv2, !SSLv3", ">=TLSv1", "TLSv1.2 TLSv1.3", "!SSLv2 !SSLv3 !TLSv1 !TLSv1.1", ">=tlsv1.3", ""]
)
def test_usual_version_lists_are_understood(config: Config, value: str) -> None:
    assert server_context(changed(config, smtpd_tls_protocols=value)) is not None


def test_an_empty_cipher_choice_is_refused(config: Config) -> None:
    with pytest.raises(TlsError, match="tls_medium_cipherlist"):
        server_context(changed(config, tls_medium_cipherlist="NONSENSE"))


def test_the_default_cipher_list_is_known_to_openssl(config: Config) -> None:
    values = {name: value for name, value in config.values.items() if name != "tls_medium_cipherlist"}
    assert server_context(Config(values)) is not None


def test_none_is_no_level_for_a_context(config: Config) -> None:
    for level in ("none", "sometimes"):
        with pytest.raises(TlsError):
            client_context(config, level)


def test_a_client_certificate_is_presented(config: Config, tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "client")
    server = served(config)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(certificate)
    server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    presenting = changed(config, smtp_tls_cert_file=certificate, smtp_tls_key_file=key)
    # The self-signed server certificate is for servers; as a client's it only has to arrive, and be refused for that.
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(server, client_context(presenting, "may"))


def test_peers_are_described_in_postfixs_words() -> None:
    assert peer_status(certificate=False, trusted=False, name_matched=False) == "Anonymous"
    assert peer_status(certificate=True, trusted=False, name_matched=True) == "Untrusted"
    assert peer_status(certificate=True, trusted=True, name_matched=False) == "Trusted"
    assert peer_status(certificate=True, trusted=True, name_matched=True) == "Verified"
