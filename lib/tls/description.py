"""What logs and Received: headers say about a TLS session, in Postfix's words."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Literal, Protocol

PeerStatus = Literal["Anonymous", "Untrusted", "Trusted", "Verified"]


class TlsSession(Protocol):
    """What `ssl.SSLSocket` and `ssl.SSLObject` have in common."""

    @property
    def context(self) -> ssl.SSLContext: ...

    def cipher(self) -> tuple[str, str, int] | None: ...

    def version(self) -> str | None: ...


def cipher_text(session: TlsSession | None) -> str:
    """`TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`; empty before the handshake is done.

    The two numbers are the secret bits in use and the bits of the algorithm.
    """
    if session is None or (cipher := session.cipher()) is None:
        return ""
    name, _, bits = cipher
    return f"{session.version()} with cipher {name} ({bits}/{_algorithm_bits(name, bits)} bits)"


@lru_cache(maxsize=64)
def _algorithm_bits(name: str, default: int) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.set_ciphers(name)
    except ssl.SSLError:
        pass  # a TLS 1.3 name: those are listed whatever set_ciphers says
    for cipher in context.get_ciphers():
        if cipher["name"] == name:
            return int(cipher["alg_bits"])
    return default


def peer_status(*, certificate: bool, trusted: bool, name_matched: bool) -> PeerStatus:
    """How well the peer is known: the first word of `Untrusted TLS connection established to ...`."""
    if not certificate:
        return "Anonymous"
    if not trusted:
        return "Untrusted"
    return "Verified" if name_matched else "Trusted"
