"""Where a header ends: the same however the content is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.cleanup.head import Head, HeaderTooLarge
from pillarbox.cleanup.header import count_fields, cut_fields
from tests.feeding import splits, truncations

LIMIT = 100


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[bytes, bytes] | None:
    """Header and everything behind it; None where the header is too large."""
    head = Head(limit)
    found: tuple[bytes, bytes] | None = None
    rest = b""
    try:
        for piece in pieces:
            if found is not None:
                rest += piece
            elif (cut := head.feed(piece)) is not None:
                found = cut
        if found is None:
            found = head.finish()
    except HeaderTooLarge:
        return None
    return found[0], found[1] + rest


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (b"A: b\nC: d\n e\n\nbody\n", b"A: b\nC: d\n e\n"),
        (b"\nbody\n", b""),
        (b"", b""),
        (b"A: b\nno field\nC: d\n\nbody\n", b"A: b\n"),
        (b"no field\nC: d\n\nbody\n", b""),
        (b" continued\nC: d\n\nbody\n", b""),
        (b"A: b", b"A: b\n"),
        (b"A: b\nno field", b"A: b\n"),
        (b"A: " + b"x" * 96 + b"\n\nbody\n", b"A: " + b"x" * 96 + b"\n"),
        (b"x" * 500, b""),
        (b"A: b\n" + b"x" * 500 + b"\n\n", b"A: b\n"),
    ],
)
def test_where_it_ends(content: bytes, header: bytes) -> None:
    for pieces in splits(content):
        found = read(pieces)
        assert found is not None and found[0] == header
        rest = content[len(header) :] if content.startswith(header) else b""
        assert found[1] in (rest, b"\n" + rest, b"\n" + rest + b"\n")


@pytest.mark.parametrize(
    "content", [b"A: " + b"x" * 97 + b"\n\n", b"A: b\n" * 21, b"A: b\n" + b" c" * 100, b"A:" + b"x" * 5000]
)
def test_too_large(content: bytes) -> None:
    for pieces in splits(content):
        assert read(pieces) is None


def test_truncations_are_headers_as_well() -> None:
    for content in truncations(b"A: b\nC: d\n\nbody\n"):
        assert read([content]) is not None


@given(
    st.lists(st.sampled_from([b"A: b\n", b" c\n", b"no field\n", b"\n", b"x" * 30, b"Name", b":", b"\n"]), max_size=12),
    st.lists(st.integers(1, 20), max_size=20),
)
def test_any_content_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert read([*pieces, rest]) == read([data])


def test_counting_and_cutting() -> None:
    block = b"A: b\n c\n\td\nE: " + b"f" * 50 + b"\n g\nH: i\n"
    assert count_fields(block) == 3
    assert cut_fields(block, 20) == b"A: b\n c\n\td\nE: " + b"f" * 17 + b"\nH: i\n"
    assert cut_fields(block, 0) == block
