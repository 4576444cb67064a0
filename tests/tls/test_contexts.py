"""Server and client contexts, shown by handshakes in memory."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import (
    ClientContexts,
    ClientMaterial,
    Demand,
    TlsError,
    cipher_text,
    peer_status,
    server_context,
)
from pillarbox.lib.tls.certificate import write_certificate
from pillarbox.lib.tls.client import CONTEXT_LIMIT

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


def client_of(config: Config, trust: str = "anyone", ciphers: str = "HIGH") -> ssl.SSLContext:
    return ClientContexts(ClientMaterial.read(config)).get(Demand(trust, ">=TLSv1.2", ciphers))  # type: ignore[arg-type]


def served(config: Config) -> ssl.SSLContext:
    context = server_context(config)
    assert context is not None
    return context


@pytest.mark.parametrize("trust", ["anyone", "noted", "authorities"])
def test_a_good_server_is_taken_whoever_is_trusted(config: Config, trust: str) -> None:
    client, server = handshake(served(config), client_of(config, trust))
    assert client.version() == server.version() == "TLSv1.3"


@pytest.mark.parametrize(("trust", "taken"), [("anyone", True), ("noted", True), ("authorities", False)])
def test_whose_certificate_is_taken(config: Config, trust: str, taken: bool, tmp_path: Path) -> None:
    other, _ = make(tmp_path, "other")
    client = client_of(changed(config, smtp_tls_CAfile=other), trust)
    if taken:
        handshake(served(config), client)
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(served(config), client)


def test_a_directory_of_authorities(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    make(folder, "unrelated")
    (folder / "one.pem").write_text(Path(str(config.values["smtp_tls_CAfile"])).read_text())
    (folder / "0123abcd.0").symlink_to("one.pem")
    handshake(
        served(config), client_of(changed(config, smtp_tls_CAfile="", smtp_tls_CApath=str(folder)), "authorities")
    )


def test_without_authorities_nobody_is_trusted(config: Config) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served(config), ClientContexts(ClientMaterial("")).get(Demand("authorities", "", "HIGH")))


def test_contexts_are_made_once_and_are_bounded(config: Config) -> None:
    contexts = ClientContexts(ClientMaterial.read(config))
    demands = [Demand("anyone", ">=TLSv1.2", f"HIGH:!{name}") for name in ("A", "B")]
    first = contexts.get(demands[0])
    assert contexts.get(demands[1]) is not first
    assert contexts.get(demands[0]) is first
    for number in range(CONTEXT_LIMIT):
        contexts.get(Demand("anyone", ">=TLSv1.2", f"HIGH:!X{number}"))
    assert contexts.get(demands[0]) is not first


def test_authorities_that_make_no_sense_are_an_error(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(TlsError, match="certification authorities"):
        client_of(changed(config, smtp_tls_CAfile=str(file)), "authorities")
    with pytest.raises(TlsError, match="No such file"):
        client_of(changed(config, smtp_tls_CAfile="/nonexistent"))


def test_old_versions_are_refused_by_default(config: Config) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(served(config), client)


def test_the_version_list_is_obeyed(config: Config) -> None:
    client, _ = handshake(served(changed(config, smtpd_tls_protocols=">=TLSv1.2, <=TLSv1.2")), client_of(config))
    assert client.version() == "TLSv1.2"


def test_the_cipher_text_is_postfixs(config: Config) -> None:
    client, server = handshake(served(config), client_of(config))
    assert cipher_text(server) == "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    assert cipher_text(client) == cipher_text(server)


def test_secret_and_algorithm_bits_are_told_apart(config: Config) -> None:
    server = served(
        changed(config, smtpd_tls_protocols="TLSv1.2", tls_medium_cipherlist="ECDHE-ECDSA-AES128-GCM-SHA256")
    )
    _, end = handshake(server, client_of(config))
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
    handshake(served(changed(config, smtpd_tls_chain_files=str(chain))), client_of(trusting, "authorities"))


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


def test_ciphers_that_nobody_knows_are_refused(config: Config) -> None:
    with pytest.raises(TlsError, match="NONSENSE"):
        client_of(config, ciphers="NONSENSE")


def test_a_client_certificate_is_presented(config: Config, tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "client")
    server = served(config)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(certificate)
    server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    presenting = changed(config, smtp_tls_cert_file=certificate, smtp_tls_key_file=key)
    # The self-signed server certificate is for servers; as a client's it only has to arrive, and be refused for that.
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(server, client_of(presenting))


def test_peers_are_described_in_postfixs_words() -> None:
    assert peer_status(certificate=False, trusted=False, name_matched=False) == "Anonymous"
    assert peer_status(certificate=True, trusted=False, name_matched=True) == "Untrusted"
    assert peer_status(certificate=True, trusted=True, name_matched=False) == "Trusted"
    assert peer_status(certificate=True, trusted=True, name_matched=True) == "Verified"
