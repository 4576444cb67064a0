"""PROXY headers, version 1 and 2."""

from __future__ import annotations

import ipaddress

from pillarbox.lib.smtp.proxy_protocol import Header, ProxyError, ProxyReader


def _read(data: bytes, step: int) -> tuple[Header | None, int, bool]:
    reader = ProxyReader()
    used = 0
    try:
        for start in range(0, len(data), step):
            used += reader.feed(data[start : start + step])
            if reader.header is not None:
                break
    except ProxyError:
        return None, 0, True
    return reader.header, used, False


def fuzz(data: bytes) -> None:
    """However it is cut the same header, which ends at the same octet; addresses are addresses."""
    whole = _read(data, max(1, len(data)))
    singly = _read(data, 1)
    assert whole == singly
    header, used, _ = whole
    assert used <= len(data)
    if header is not None:
        assert (header.source is None) == (header.destination is None)
        for end in (header.source, header.destination):
            if end is not None:
                ipaddress.ip_address(end[0])
                assert 0 <= end[1] <= 65535
