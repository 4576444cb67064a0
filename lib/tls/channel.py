"""All channel bindings of one TLS session as the server knows them, by type: what SCRAM-SHA-256-PLUS can be bound to.

`tls-server-end-point` and `tls-exporter` come from `binding`.  After a resumption nobody can tell which of several
certificates the client has seen in the first handshake, so there is no end point then.  `tls-unique` (RFC 5929 section
3), the first Finished message, is for clients of TLS 1.2 and older, which know no other that is of the session: TLS 1.3
has none (RFC 8446 appendix C.5), and a resumed session may share its value with another channel (RFC 7627 section 1).
"""

from __future__ import annotations

import ssl
from typing import Final

from pillarbox.lib.tls.binding import exporter, server_end_point

END_POINT: Final = "tls-server-end-point"
EXPORTER: Final = "tls-exporter"
UNIQUE: Final = "tls-unique"

_OF_OLD_VERSIONS: Final = ("TLSv1.2", "TLSv1.1", "TLSv1")


def channel_bindings(session: ssl.SSLObject | None) -> dict[str, tuple[bytes, ...]]:
    """The bindings of a session, each type with the data that prove it; empty without TLS or before the handshake."""
    if session is None or session.cipher() is None:
        return {}
    end_point = None if session.session_reused else server_end_point(session)
    found = {END_POINT: end_point, EXPORTER: exporter(session), UNIQUE: _unique(session)}
    return {kind: (data,) for kind, data in found.items() if data}


def _unique(session: ssl.SSLObject) -> bytes | None:
    if session.version() not in _OF_OLD_VERSIONS or session.session_reused:
        return None
    return session.get_channel_binding(UNIQUE)


def own_binding(session: ssl.SSLObject | None) -> tuple[str, bytes]:
    """Type and data of the binding that a client uses; ("", b"") where there is none.

    With TLS 1.3 that is `tls-exporter` (RFC 9266 section 3), before it `tls-unique`.
    """
    if session is None or session.cipher() is None:
        return "", b""
    for kind, data in ((EXPORTER, exporter(session)), (UNIQUE, _unique(session))):
        if data:
            return kind, data
    return "", b""
