"""Answers of the servers behind tables (socketmap, tcp, memcache, redis): a value, "not found", more, or a fault."""

from __future__ import annotations

from pillarbox.lib.tables import memcache, redis, socketmap, tcp_map
from pillarbox.lib.tables.exchange import ProtocolFault, Refused

_PROTOCOLS = (
    socketmap.netstring,
    tcp_map.line,
    memcache.got(b"key", line_limit=100, data_limit=1000),
    memcache.stored(100),
    redis.answer,
)


def fuzz(data: bytes) -> None:
    """What comes in pieces means what it means as a whole."""
    for protocol in _PROTOCOLS:
        try:
            found = protocol(data)
        except (ProtocolFault, Refused):
            continue
        if found is not None:
            taken = found[1]
            assert 0 < taken <= len(data)
            assert protocol(data[:taken]) == found
            assert protocol(data[: taken - 1]) is None
    for answer in (socketmap.answer, tcp_map.answer):
        try:
            answer(data)
        except (ProtocolFault, Refused):
            pass
