"""The decoders of DATA and BDAT against a slow model that reads octet by octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.content import BareNewline, ChunkDecoder, DataDecoder
from tests.feeding import splits

PIECES = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"x", b"\r\n..", b"ab", b"\0"]), max_size=20)


def model(data: bytes) -> tuple[bytes, bytes] | None:
    """Content and rest by the definition: lines end in CRLF or LF; only CRLF "." CRLF ends; dots are removed."""
    content = b""
    position = 0
    before = b"\r\n"  # the line end before the current line
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return None
        line_end = b"\r\n" if end > position and data[end - 1] == 13 else b"\n"
        line = data[position : end + 1 - len(line_end)]
        if line == b"." and line_end == b"\r\n" == before:
            return content, data[end + 1 :]
        content += line.removeprefix(b".") + b"\n"
        before = line_end
        position = end + 1


def decode(pieces: list[bytes], mode: BareNewline = "normalize") -> tuple[bytes, bytes, bool] | None:
    decoder = DataDecoder(mode)
    content = b""
    for number, piece in enumerate(pieces):
        content += decoder.feed(piece)
        if decoder.done:
            return content, decoder.rest + b"".join(pieces[number + 1 :]), decoder.bare_newline
    return None


@given(PIECES)
def test_data_equals_the_model(parts: list[bytes]) -> None:
    data = b"".join(parts) + b"\r\n.\r\nNEXT"
    expected = model(data)
    for pieces in splits(data):
        result = decode(pieces)
        assert (result and result[:2]) == expected, pieces


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\n"),
        (b"a\r\n.\r\n", b"a\n"),
        (b"..\r\n.\r\n", b".\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\n.b\n"),
        (b"a\r\n.b\r\n.\r\n", b"a\nb\n"),
        (b"a\rb\r\n.\r\n", b"a\rb\n"),
        (b"a\r\r\n.\r\n", b"a\r\n"),
        (b"\0\xff\r\n.\r\n", b"\0\xff\n"),
        # ends of data that only some servers see
        (b"a\n.\nb\r\n.\r\n", b"a\n\nb\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\n\nb\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\n\nb\n"),
        (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\n"),
        (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\n\r\nb\n"),
    ],
)
def test_only_the_standard_end_ends_data(data: bytes, content: bytes) -> None:
    for pieces in splits(data + b"QUIT\r\n"):
        assert decode(pieces) == (content, b"QUIT\r\n", False)


@pytest.mark.parametrize("data", [b"a\n.\n", b"a\n.\r\n", b"a\r\n.\n", b"a\r\n.\r\n"])
def test_without_the_rule_any_dot_line_ends_data(data: bytes) -> None:
    for pieces in splits(data + b"REST"):
        assert decode(pieces, "no") == (b"a\n", b"REST", False)


@pytest.mark.parametrize(("data", "bare"), [(b"a\nb\r\n.\r\n", True), (b"a\r\n.\r\n", False), (b"\n\r\n.\r\n", True)])
def test_a_lone_line_feed_is_noticed(data: bytes, bare: bool) -> None:
    for pieces in splits(data):
        result = decode(pieces, "reject")
        assert result is not None
        assert result[2] is bare


def test_what_is_held_back_is_small() -> None:
    decoder = DataDecoder()
    data = b"\r\n.\r" * 1000
    content = b"".join(decoder.feed(data[i : i + 1]) for i in range(len(data)))
    assert len(decoder._held) <= 4
    assert content


def chunks(sizes: list[int], data: bytes) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(PIECES, st.lists(st.integers(0, 9), max_size=6))
def test_chunks_are_one_text_whatever_their_borders(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    expected = data.replace(b"\r\n", b"\n")
    if expected and not expected.endswith(b"\n"):
        # A CR at the very end belongs to the line that gets its end.
        expected += b"\n"
    decoder = ChunkDecoder()
    content = b""
    for chunk in chunks(sizes, data):
        content += b"".join(decoder.feed(chunk[i : i + 2]) for i in range(0, len(chunk), 2))
    assert content + decoder.finish() == expected


def test_an_empty_text_stays_empty() -> None:
    decoder = ChunkDecoder()
    assert decoder.finish() == b""


def test_a_lone_line_feed_in_chunks_is_noticed_but_not_a_split_line_end() -> None:
    decoder = ChunkDecoder("reject")
    decoder.feed(b"a\r")
    decoder.feed(b"\nb")
    assert not decoder.bare_newline
    decoder.feed(b"\n")
    assert decoder.bare_newline
