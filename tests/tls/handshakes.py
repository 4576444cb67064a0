"""Handshakes in memory."""

from __future__ import annotations

import ssl
from pathlib import Path


def client(authority: Path | None = None, chain: tuple[str, str] | None = None) -> ssl.SSLContext:
    """A client that trusts `authority`, or takes everything; with a certificate of its own where `chain` is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(authority)
    if chain is not None:
        context.load_cert_chain(*chain)
    return context


def shake(
    server: ssl.SSLContext,
    connecting: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends (client, server) after the handshake and one exchange, in which tickets come.

    Raises ssl.SSLError of the end that refuses.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = connecting.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(20):
        for end in (near, far):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            break
    else:
        raise AssertionError("the handshake does not come to an end")
    near.write(b"ping")
    assert far.read(4) == b"ping"
    far.write(b"pong")
    assert near.read(4) == b"pong"
    return near, far
