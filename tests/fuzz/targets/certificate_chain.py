"""TLSA records and certificates of strangers: two octets say where the record's data end and the certificate begins."""

from __future__ import annotations

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls.association import Mismatch, authenticate
from pillarbox.lib.tls.dane import as_text, usable


def fuzz(data: bytes) -> None:
    """Nothing but Mismatch."""
    if len(data) < 5:
        return
    cut = 5 + int.from_bytes(data[:2], "big")
    record = TLSA(data[2], data[3], data[4], data[5:cut])
    as_text(record)
    found = usable([record, TLSA(3, 1, 1, bytes(32)), TLSA(2, 0, 1, bytes(32))])
    try:
        matched = authenticate([data[cut:], data[cut:]], found, ("mx.example.org",), 1.8e9)
    except Mismatch:
        return
    assert matched in found
