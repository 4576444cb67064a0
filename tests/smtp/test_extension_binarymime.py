"""BINARYMIME (RFC 3030 section 3): bodies of any octets, by BDAT only."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

OPEN = b"EHLO c\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<c@d.example>\r\n"
MESSAGE = b"Subject: x\r\n\r\n\0a\r\nb\nc\rd\r\n.\r\n"


def chunks(*pieces: bytes) -> bytes:
    last = len(pieces) - 1
    return b"".join(
        b"BDAT %d%s\r\n%s" % (len(piece), b" LAST" if number == last else b"", piece)
        for number, piece in enumerate(pieces)
    )


def test_it_is_announced_beside_chunking() -> None:
    assert b"250-BINARYMIME\r\n" in talk(b"EHLO c\r\n").output


@pytest.mark.parametrize("keyword", ["BINARYMIME", "CHUNKING"])
def test_without_bdat_or_where_discarded_it_is_neither_announced_nor_taken(keyword: str) -> None:
    result = talk(b"EHLO c\r\nMAIL FROM:<> BODY=BINARYMIME\r\n", profile(discarded=frozenset((keyword,))))
    assert b"BINARYMIME\r\n" not in result.output.partition(b"501")[0]
    assert result.last == "501 5.5.4 Error: BODY must be 7BIT or 8BITMIME"


def test_the_event_says_so() -> None:
    assert Mail("a@b.example", body="binarymime") in talk(OPEN).events


def test_header_lines_end_in_lf_and_the_body_stays_as_it_was_sent() -> None:
    for pieces in splits(OPEN + chunks(MESSAGE) + b"NOOP\r\n"):
        result = talk(pieces)
        assert result.messages == [b"Subject: x\n\n\0a\r\nb\nc\rd\r\n.\r\n"]
        assert result.codes[-2:] == [250, 250]


@pytest.mark.parametrize("cut", range(len(MESSAGE)))
def test_chunks_may_end_anywhere(cut: int) -> None:
    result = talk(OPEN + chunks(MESSAGE[:cut], MESSAGE[cut:]))
    assert result.messages == [b"Subject: x\n\n\0a\r\nb\nc\rd\r\n.\r\n"]


def test_an_empty_last_chunk_adds_nothing() -> None:
    assert talk(OPEN + chunks(b"\r\nno line end", b"")).messages == [b"\nno line end"]


def test_data_is_refused_and_bdat_goes_on() -> None:
    result = talk(OPEN + b"DATA\r\n" + chunks(MESSAGE))
    assert result.codes[4:] == [503, 250]
    assert b"503 5.5.1 Error: BODY=BINARYMIME needs BDAT\r\n" in result.output


def test_bare_line_feeds_of_the_body_are_no_smuggling() -> None:
    settings = profile(bare_newline="reject")
    assert talk(OPEN + chunks(MESSAGE), settings).codes[4:] == [250]
    assert talk(OPEN + chunks(b"Subject: x\n" + MESSAGE), settings).codes[4:] == [550]


def test_the_next_message_is_text_again() -> None:
    plain = b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n"
    for end in (chunks(MESSAGE), b"RSET\r\n", b"BDAT 1\r\nxRSET\r\n", b"EHLO c\r\n"):
        result = talk(OPEN + end + plain + b"DATA\r\na\r\n.\r\n" + plain + chunks(b"\r\na\r\n"))
        assert result.messages[-2:] == [b"a\n", b"\na\n"]
