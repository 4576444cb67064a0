"""Content on its way to the wire: reversible, safe at every chunk border."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.client_content import ContentEncoder
from tests.feeding import splits


def encode(*chunks: bytes, limit: int = 998) -> bytes:
    encoder = ContentEncoder(limit)
    return b"".join(encoder.encode(chunk) for chunk in chunks) + encoder.finish()


def decode(wire: bytes) -> bytes:
    """What a server makes of it (RFC 5321 section 4.5.2), written the slow way."""
    assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
    lines = wire[:-3].split(b"\r\n")
    return b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\n", b"..\r\n.\r\n"),
        (b"..\n\n.a", b"...\r\n\r\n..a\r\n.\r\n"),
        (b"\n", b"\r\n.\r\n"),
        (b"a\r\nb\n", b"a\r\nb\r\n.\r\n"),
        (b"a\rb\n", b"a b\r\n.\r\n"),
        (b"a\r", b"a \r\n.\r\n"),
        (b"\r.\r\n", b" .\r\n.\r\n"),
    ],
)
def test_small_contents_however_they_arrive(content: bytes, wire: bytes) -> None:
    for chunks in splits(content):
        assert encode(*chunks) == wire


CONTENT = st.lists(st.sampled_from([b".", b"\n", b"\r", b"a", b"bc", b"\xc3\xa4", b"x" * 20]), max_size=30)


@given(CONTENT, st.sampled_from([0, 16, 998]))
def test_chunk_borders_do_not_matter(pieces: list[bytes], limit: int) -> None:
    assert encode(*pieces, limit=limit) == encode(b"".join(pieces), limit=limit)


@given(CONTENT)
def test_a_server_gets_back_the_content(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    expected = content.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    if expected and not expected.endswith(b"\n"):
        expected += b"\n"
    assert decode(encode(*pieces, limit=0)) == expected


@given(CONTENT, st.sampled_from([0, 16, 998]))
def test_nothing_but_whole_line_ends_and_one_end(pieces: list[bytes], limit: int) -> None:
    wire = encode(*pieces, limit=limit)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    assert wire.find(b"\r\n.\r\n") in (-1, len(wire) - 5)
    if wire.startswith(b".\r\n"):
        assert wire == b".\r\n"


@given(st.lists(st.binary(min_size=1, max_size=100).map(lambda b: b.replace(b"\r", b"")), max_size=8))
def test_no_line_is_too_long_and_folding_only_adds_folds(pieces: list[bytes]) -> None:
    wire = encode(*pieces, limit=40)
    assert all(len(line) <= 41 for line in wire.split(b"\r\n"))  # one more for a doubled dot
    content = b"".join(pieces)
    unfolded = decode(wire).replace(b"\n ", b"").rstrip(b"\n")
    assert unfolded == content.replace(b"\n ", b"").rstrip(b"\n") or b"\n " in content or b" " in content


def test_folding_does_not_cut_a_character() -> None:
    wire = encode("ä".encode() * 100, limit=31)
    for line in wire.split(b"\r\n"):
        line.decode()


def test_a_line_at_the_limit_is_left_alone() -> None:
    assert encode(b"x" * 998 + b"\n") == b"x" * 998 + b"\r\n.\r\n"
    assert encode(b"x" * 999 + b"\n") == b"x" * 998 + b"\r\n x\r\n.\r\n"
