"""Feeding parsers the ways that networks do: whole, byte by byte, in odd pieces, cut short, with more behind.

Every parser test uses `splits` (same input, same result, however it arrives), `truncations` and `with_trailing`.
"""

from __future__ import annotations

from collections.abc import Iterator

# Long inputs are not cut at every place: these many cuts, spread evenly, are enough to hit each state.
_MOST_CUTS = 200


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Chunkings of `data`: whole, byte by byte, in threes, and in two pieces cut at (up to 200) different places."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    yield [data[i : i + 3] for i in range(0, len(data), 3)]
    for cut in _cuts(len(data)):
        yield [data[:cut], data[cut:]]


def truncations(data: bytes) -> Iterator[bytes]:
    """Beginnings of `data`, the empty one first, never the whole."""
    yield b""
    for cut in _cuts(len(data)):
        yield data[:cut]


def with_trailing(data: bytes) -> Iterator[bytes]:
    """`data` with bytes behind it that do not belong to it."""
    for tail in (b"\0", b"\r\n", b"X", b"\xff\xfe", data):
        yield data + tail


def _cuts(length: int) -> Iterator[int]:
    step = max(1, length // _MOST_CUTS)
    yield from range(1, length, step)
