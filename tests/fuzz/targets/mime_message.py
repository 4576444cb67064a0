"""The MIME scanner: one tree however the message comes, parts that lie inside it."""

from __future__ import annotations

from pillarbox.lib.mime.envelope import parse_envelope
from pillarbox.lib.mime.part import Part
from pillarbox.lib.mime.scan import scan_message


def _pieces(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]


def _count(part: Part) -> int:
    return 1 + sum(_count(child) for child in part.children)


def fuzz(data: bytes) -> None:
    """Bad mail gives a tree like any other."""
    whole = scan_message([data])
    assert scan_message(_pieces(data, 1)) == whole
    assert scan_message(_pieces(data, 11)) == whole
    assert _count(whole) <= len(data) + 1
    parse_envelope(data)
