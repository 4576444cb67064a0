"""Byte-stuffing and TOP, for content that arrives in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.pop3d.protocol.transparency import DotStuffer, TopCutter
from tests.feeding import splits

MESSAGE = b"Subject: x\r\n.odd: y\r\n\r\n.\r\n..\r\nfour\r\n.five\r\n"


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join(stuffer.feed(piece) for piece in pieces) + stuffer.finish()


def unstuffed(data: bytes) -> bytes:
    """What a client makes of it (RFC 1939 section 3)."""
    assert data.endswith(b"\r\n.\r\n") or data == b".\r\n"
    lines = data[: -len(b".\r\n")].split(b"\r\n")
    assert b"." not in lines, "the reply would end early"
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


def test_dots_are_doubled_however_the_content_arrives() -> None:
    expected = b"Subject: x\r\n..odd: y\r\n\r\n..\r\n...\r\nfour\r\n..five\r\n.\r\n"
    for pieces in splits(MESSAGE):
        assert stuffed(pieces) == expected


def test_a_first_line_that_begins_with_a_dot_is_stuffed() -> None:
    assert stuffed([b".x\r\n"]) == b"..x\r\n.\r\n"


def test_content_without_a_last_line_end_gets_one() -> None:
    assert stuffed([b"x"]) == b"x\r\n.\r\n"


def test_empty_content_is_only_the_terminator() -> None:
    assert stuffed([]) == b".\r\n"
    assert stuffed([b""]) == b".\r\n"


@given(st.lists(st.sampled_from([b".", b"\r\n", b"x", b"\r\n."]), max_size=30), st.integers(1, 5))
def test_a_client_gets_back_what_went_in(parts: list[bytes], step: int) -> None:
    content = b"".join(parts)
    result = unstuffed(stuffed([content[i : i + step] for i in range(0, len(content), step)]))
    assert result == (content if content.endswith(b"\r\n") or not content else content + b"\r\n")


def top(pieces: list[bytes], lines: int) -> bytes:
    cutter = TopCutter(lines)
    return b"".join(cutter.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (0, b"Subject: x\r\n.odd: y\r\n\r\n"),
        (1, b"Subject: x\r\n.odd: y\r\n\r\n.\r\n"),
        (3, b"Subject: x\r\n.odd: y\r\n\r\n.\r\n..\r\nfour\r\n"),
        (4, MESSAGE),
        (999, MESSAGE),
    ],
)
def test_top_shows_header_and_lines_however_the_content_arrives(lines: int, shown: bytes) -> None:
    for pieces in splits(MESSAGE):
        assert top(pieces, lines) == shown


def test_top_of_a_message_without_header_counts_body_lines() -> None:
    for pieces in splits(b"\r\none\r\ntwo\r\n"):
        assert top(pieces, 1) == b"\r\none\r\n"


def test_top_of_a_message_without_body_is_its_header() -> None:
    for content in (b"Subject: x\r\n", b"Subject: x\r\n\r\n", b"Subject: x", b""):
        assert top([content], 5) == content


def test_top_says_when_no_more_is_needed() -> None:
    cutter = TopCutter(1)
    cutter.feed(b"A: b\r\n\r\none\r\n")
    assert cutter.done
    assert cutter.feed(b"two\r\n") == b""
