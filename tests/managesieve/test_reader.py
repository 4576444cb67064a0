"""Lines of tokens out of what clients send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.managesieved.protocol.reader import (
    LINE_LIMIT,
    Atom,
    BadLine,
    Event,
    Line,
    LineReader,
    Oversize,
    String,
)
from tests.feeding import splits, truncations

LIMIT = 40


def read(*pieces: bytes) -> list[Event]:
    reader, events = LineReader(LIMIT), []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            events.append(event)
    return events


GOOD = {
    b"NOOP\r\n": [Line((Atom("NOOP"),))],
    b"noop\n": [Line((Atom("noop"),))],
    b'HAVESPACE "a b" 12\r\n': [Line((Atom("HAVESPACE"), String(b"a b"), Atom("12")))],
    b'A "q\\"\\\\" ""\r\n': [Line((Atom("A"), String(b'q"\\'), String(b"")))],
    b'PUTSCRIPT "a" {7+}\r\nkeep;\r\n\r\nNOOP\r\n': [
        Line((Atom("PUTSCRIPT"), String(b"a"), String(b"keep;\r\n"))),
        Line((Atom("NOOP"),)),
    ],
    b"PUTSCRIPT {1+}\r\na {0+}\r\n\r\n": [Line((Atom("PUTSCRIPT"), String(b"a"), String(b"")))],
    b'X {41+}\r\n%b "y"\r\nNOOP\r\n' % (b"\n" * 41): [
        Line((Atom("X"), Oversize(41), String(b"y"))),
        Line((Atom("NOOP"),)),
    ],
    b"X {30+}\r\n%b {20+}\r\n%b\r\n" % (b"a" * 30, b"b" * 20): [Line((Atom("X"), String(b"a" * 30), Oversize(20)))],
    b'"AGE="\r\n\r\n': [Line((String(b"AGE="),)), Line(())],
    b'X "a\xc3\xbc\n"\r\n': [BadLine("an argument is no string, number or word")] * 2,
    b'X "a\\x"\r\nNOOP\r\n': [BadLine("an argument is no string, number or word"), Line((Atom("NOOP"),))],
    b"X  a\r\n": [BadLine("an argument is no string, number or word")],
    b'X"a"\r\n': [BadLine("a blank was expected between arguments")],
    b"X {5}\r\nNOOP\r\n": [BadLine("a literal is announced as {n+}"), Line((Atom("NOOP"),))],
    b"X {99999999999+}\r\nNOOP\r\n": [
        BadLine("an argument is no string, number or word"),
        Line((Atom("NOOP"),)),
    ],
    b"X \\ {6+}\r\nNOOP\r\n ) {2+}\r\nxx\r\nNOOP\r\n": [
        BadLine("an argument is no string, number or word"),
        Line((Atom("NOOP"),)),
    ],
    b"%b\r\nNOOP\r\n" % (b"X" * (LINE_LIMIT + 1)): [BadLine("the line is too long"), Line((Atom("NOOP"),))],
    b"%b {6+}\r\nNOOP\r\n\r\nNOOP\r\n" % (b"X" * LINE_LIMIT): [
        BadLine("the line is too long"),
        Line((Atom("NOOP"),)),
    ],
    b"X%b\r\nNOOP\r\n" % (b" {0+}\r\n" * 9): [BadLine("too many literals"), Line((Atom("NOOP"),))],
}


@pytest.mark.parametrize("data", GOOD)
def test_lines_are_the_same_however_they_arrive(data: bytes) -> None:
    for pieces in splits(data):
        assert read(*pieces) == GOOD[data]


@pytest.mark.parametrize("data", GOOD)
def test_a_beginning_gives_the_beginning(data: bytes) -> None:
    for part in truncations(data):
        events = read(part)
        assert events == GOOD[data][: len(events)]


def test_neither_a_line_nor_a_literal_without_end_is_kept() -> None:
    reader = LineReader(LIMIT)
    for start in (b"X ", b"\r\nX {999999999+}\r\n"):
        reader.feed(start)
        for _ in range(100):
            reader.feed(b"y" * 10_000)
            reader.next_event()
            assert len(reader._buffer) <= LINE_LIMIT + 10_000
            assert sum(map(len, reader._pieces)) <= LIMIT


def test_the_rest_can_be_taken() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"NOOP\r\nX y\r\n")
    assert reader.next_event() == Line((Atom("NOOP"),))
    assert reader.take_rest() == b"X y\r\n"
    assert reader.next_event() is None


@given(st.lists(st.sampled_from([b"X", b" ", b'"', b"\\", b"{3+}", b"{50+}", b"\r\n", b"abc", b"\0", b"("])))
def test_any_cut_gives_the_same(parts: list[bytes]) -> None:
    data = b"".join(parts)
    whole = read(data)
    assert read(*(data[number : number + 1] for number in range(len(data)))) == whole
    assert read(*parts) == whole
