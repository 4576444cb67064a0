"""Channel bindings of real handshakes: what the server computes is what the client computes."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from pillarbox.lib.tls import channel_bindings
from pillarbox.lib.tls.chains import load_certificate
from pillarbox.lib.tls.channel import END_POINT, EXPORTER, UNIQUE
from tests.lab.certificates import Authority, Certificate


def handshake(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname="localhost", session=session)
    server = server_context.wrap_bio(up, down, server_side=True)
    open_ends = [client, server]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    return client, server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def context_of(*certificates: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for certificate in certificates:
        load_certificate(context, str(certificate.chain), str(certificate.chain))
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_end_point_is_the_hash_of_the_certificate_that_the_client_sees(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    certificate = authority.issue("localhost")
    clients = authority.client_context
    clients.maximum_version = version
    client, server = handshake(clients, context_of(certificate))
    seen = client.getpeercert(binary_form=True)
    assert seen is not None
    assert channel_bindings(server)[END_POINT] == (hashlib.sha256(seen).digest(),)


def test_tls_unique_is_given_for_tls_1_2_only(authority: Authority) -> None:
    server_context = context_of(authority.issue("localhost"))
    clients = authority.client_context
    _, server = handshake(clients, server_context)
    assert UNIQUE not in channel_bindings(server)
    assert len(channel_bindings(server)[EXPORTER][0]) == 32
    clients.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = handshake(clients, server_context)
    assert channel_bindings(server)[UNIQUE] == (client.get_channel_binding("tls-unique"),)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_has_only_what_is_its_own(authority: Authority, version: ssl.TLSVersion) -> None:
    """Which certificate was shown the first time is not known any more, and the Finished message may not be unique."""
    server_context = context_of(authority.issue("localhost"))
    clients = authority.client_context
    clients.maximum_version = version
    client, server = handshake(clients, server_context)
    server.write(b"x")
    client.read(1)  # the ticket of TLS 1.3 comes with it
    _, server = handshake(clients, server_context, client.session)
    assert server.session_reused
    assert set(channel_bindings(server)) == ({EXPORTER} if version is ssl.TLSVersion.TLSv1_3 else set())


def test_without_a_handshake_there_is_nothing(authority: Authority) -> None:
    context = context_of(authority.issue("localhost"))
    assert channel_bindings(None) == {}
    assert channel_bindings(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)) == {}
