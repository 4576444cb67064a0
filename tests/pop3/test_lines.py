"""Cutting lines: the same lines however the bytes arrive, and nothing kept beyond the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.pop3d.protocol.lines import OVERLONG, LineReader, OverlongLine
from tests.feeding import splits, truncations


def lines(pieces: list[bytes], limit: int = 10) -> list[bytes | OverlongLine]:
    reader = LineReader(limit)
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.next()) is not None:
            found.append(line)
    return found


def test_lines_are_the_same_however_they_arrive() -> None:
    data = b"STAT\r\nLIST\n\r\n0123456789\r\n01234567890\r\n" + b"x" * 100 + b"\nQUIT\r\nrest"
    for pieces in splits(data):
        assert lines(pieces) == [b"STAT", b"LIST", b"", b"0123456789", OVERLONG, OVERLONG, b"QUIT"]


def test_an_unfinished_line_is_no_line() -> None:
    for beginning in truncations(b"QUIT\r\n"):
        assert lines([beginning]) == []


def test_the_rest_is_given_up_once() -> None:
    reader = LineReader()
    reader.feed(b"STLS\r\nUSER x\r\nPA")
    assert reader.next() == b"STLS"
    assert reader.take_rest() == b"USER x\r\nPA"
    assert reader.take_rest() == b""
    assert reader.next() is None


@given(st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\r\n")), st.integers(1, 9))
def test_any_input_is_cut_the_same_in_any_pieces(data: bytes, step: int) -> None:
    assert lines([data[i : i + step] for i in range(0, len(data), step)], 5) == lines([data], 5)


def test_an_endless_line_is_not_kept() -> None:
    reader = LineReader(10)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next() is None
    assert reader.take_rest() == b""
