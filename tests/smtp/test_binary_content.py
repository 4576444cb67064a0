"""BODY=BINARYMIME: a header block with LF, a body as it was sent (RFC 3030 section 3)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.binary_content import BinaryDecoder
from tests.feeding import splits, truncations, with_trailing

HEADER, TEXT = b"Subject: x\r\nTo: y\r\n\r\n", b"Subject: x\nTo: y\n\n"


def decoded(pieces: list[bytes]) -> bytes:
    decoder = BinaryDecoder()
    return b"".join(decoder.feed(piece) for piece in pieces) + decoder.finish()


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (HEADER + b"a\r\nb\nc\rd\0\r", TEXT + b"a\r\nb\nc\rd\0\r"),
        (HEADER + b"\r\n\r\n", TEXT + b"\r\n\r\n"),
        (HEADER + b"no line end", TEXT + b"no line end"),
        (HEADER, TEXT),
        (b"Subject: x\nTo: y\n\nb\r\n", TEXT + b"b\r\n"),
        (b"\r\nbody\r\n", b"\nbody\r\n"),
        (b"\nbody\r\n", b"\nbody\r\n"),
        (b"A: b\r\n", b"A: b\n"),
        (b"A: b", b"A: b\n"),
        (b"A: b\r", b"A: b\r\n"),
        (b"A: \rb\r\r\n\r\n\r\n", b"A: \rb\r\n\n\r\n"),
        (b"", b""),
    ],
)
def test_the_header_is_text_and_the_body_is_octets(sent: bytes, content: bytes) -> None:
    for pieces in splits(sent):
        assert decoded(pieces) == content, pieces


def test_a_beginning_gives_a_beginning() -> None:
    whole = HEADER + b"a\r\nb"
    for beginning in truncations(whole):
        decoder = BinaryDecoder()
        assert (TEXT + b"a\r\nb").startswith(decoder.feed(beginning))


def test_what_follows_is_body() -> None:
    for data in with_trailing(HEADER):
        assert decoded([data]) == TEXT + data[len(HEADER) :]


@given(st.text("\r\n:ab", max_size=30).map(str.encode), st.lists(st.integers(0, 30)))
def test_any_cut_gives_the_same(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    assert decoded([data[a:b] for a, b in pairwise(places)]) == decoded([data])


def test_a_bare_line_feed_counts_in_the_header_only() -> None:
    for sent, bare in ((HEADER + b"a\nb", False), (b"A: b\nC: d\r\n\r\n", True)):
        for pieces in splits(sent):
            decoder = BinaryDecoder("reject")
            for piece in pieces:
                decoder.feed(piece)
            assert decoder.bare_newline == bare
