"""BODYSTRUCTURE of what BINARY gives: parts without transfer encodings, and their sizes (RFC 5524 section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from pillarbox.lib.mime import Part
from pillarbox.lib.mime.decoded import Read, Stretch, read_decoded
from pillarbox.lib.mime.decoding import IDENTITY


class _Change(NamedTuple):
    """By how much decoding makes something longer."""

    octets: int
    lines: int


_NOTHING = _Change(0, 0)


def as_decoded(part: Part, read: Read) -> Part:
    """The part as it is once all in it is decoded; all encodings in it are known (`lib.mime.decoded`).

    Offsets count for nothing any more, but `octets` and `lines` are right.
    """
    return _decoded(part, read)[0]


def _decoded(part: Part, read: Read) -> tuple[Part, _Change]:
    """The part, and the change of its header and body together.  Goes as deep as the scanner has gone."""
    header = body = _NOTHING
    children = part.children
    encoding = part.encoding
    if children:
        made = [_decoded(child, read) for child in children]
        children = tuple(child for child, _ in made)
        body = _Change(sum(change.octets for _, change in made), sum(change.lines for _, change in made))
    elif encoding not in IDENTITY:
        octets, lines = _count(read_decoded((Stretch(part.body_start, part.octets, encoding),), read))
        body = _Change(octets - part.octets, lines - part.lines)
        size = part.body_start - part.header_start
        _, before = _count(read(part.header_start, size) if size else ())
        octets, lines = _count(read_decoded((Stretch(part.header_start, size, is_header=True),), read) if size else ())
        header = _Change(octets - size, lines - before)
        encoding = b"binary"
    changed = replace(
        part, end=part.end + body.octets, lines=part.lines + body.lines, encoding=encoding, children=children
    )
    return changed, _Change(header.octets + body.octets, header.lines + body.lines)


def _count(pieces: Iterable[bytes]) -> _Change:
    octets = lines = 0
    for piece in pieces:
        octets += len(piece)
        lines += piece.count(b"\n")
    return _Change(octets, lines)
