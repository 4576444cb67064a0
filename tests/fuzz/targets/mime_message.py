"""The MIME scanner: one tree however the message comes, parts that lie inside it."""

from __future__ import annotations

import re

from pillarbox.lib.mime.decoded import UnknownEncoding, decoded_stretches, read_decoded
from pillarbox.lib.mime.envelope import parse_envelope
from pillarbox.lib.mime.part import Part
from pillarbox.lib.mime.scan import scan_message


def _pieces(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]


def _count(part: Part) -> int:
    return 1 + sum(_count(child) for child in part.children)


def _without_encodings(message: Part, data: bytes) -> None:
    """The message with its parts decoded, the same however it is read."""
    content = re.sub(rb"(?<!\r)\n", b"\r\n", data)  # as `Part` counts
    try:
        stretches = decoded_stretches(message, with_header=True)
    except UnknownEncoding:
        return
    assert sum(stretch.size for stretch in stretches) == len(content)
    once = b"".join(read_decoded(stretches, lambda start, size: [content[start : start + size]]))
    assert b"".join(read_decoded(stretches, lambda start, size: _pieces(content[start : start + size], 1))) == once


def fuzz(data: bytes) -> None:
    """Bad mail gives a tree like any other."""
    whole = scan_message([data])
    assert scan_message(_pieces(data, 1)) == whole
    assert scan_message(_pieces(data, 11)) == whole
    wire = re.sub(rb"(?<!\r)\n", b"\r\n", data)
    assert scan_message(_pieces(wire, 11), wire=True) == scan_message([wire])
    assert _count(whole) <= len(data) + 1
    _without_encodings(whole, data)
    parse_envelope(data)
