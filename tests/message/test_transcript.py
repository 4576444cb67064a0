"""A transcript: bounded, printable, with the beginning and the end of what was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.transcript import FIRST, LAST, PIECE, Transcript


def test_what_was_said_stands_in_lines() -> None:
    transcript = Transcript()
    transcript.add("Out", b"250-mx.test\r\n250 DSN\r\n")
    transcript.add("In", b"MAIL FROM:<a@b>\r")
    assert list(transcript.lines()) == ["Out: 250-mx.test", "Out: 250 DSN", "In:  MAIL FROM:<a@b>?"]


def test_the_beginning_and_the_end_are_kept() -> None:
    transcript = Transcript()
    for number in range(1000):
        transcript.add("In", b"%d" % number)
    lines = list(transcript.lines())
    assert lines[:FIRST] == [f"In:  {number}" for number in range(FIRST)]
    assert lines[FIRST] == f"[{1000 - FIRST - LAST} more left out]"
    assert lines[FIRST + 1 :] == [f"In:  {number}" for number in range(1000 - LAST, 1000)]


@given(st.lists(st.binary(max_size=2000), max_size=100))
def test_it_is_printable_and_bounded_whatever_is_said(said: list[bytes]) -> None:
    transcript = Transcript()
    for piece in said:
        transcript.add("In", piece)
    text = "\n".join(transcript.lines())
    assert text.isascii() and all(line.isprintable() for line in text.split("\n"))
    assert text.count("\n") <= (FIRST + LAST) * PIECE
