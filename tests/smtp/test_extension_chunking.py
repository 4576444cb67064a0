"""CHUNKING (RFC 3030 section 2): BDAT with counted octets, in any pieces, at any place."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Close, Reset
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

HELLO = b"EHLO c\r\n"
OPEN = HELLO + b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n"


def test_it_is_announced_unless_discarded() -> None:
    assert b"250-CHUNKING\r\n" in talk(HELLO).output
    settings = profile(discarded=frozenset(("CHUNKING",)))
    assert b"CHUNKING" not in talk(HELLO, settings).output
    assert talk(OPEN + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", settings).codes[4:] == [502, 250]


def test_chunks_make_one_message() -> None:
    for pieces in splits(OPEN + b"BDAT 3\r\na\r\nBDAT 0\r\nBDAT 5\r\n.\r\nb\rBDAT 2 LAST\r\n\nc" + b"NOOP\r\n"):
        result = talk(pieces)
        assert result.codes[4:] == [250, 250, 250, 250, 250]
        assert result.messages == [b"a\n.\nb\nc\n"]


@pytest.mark.parametrize("argument", [b"3 last", b"3  LAST", b"03 LAST", b"3 LAST "])
def test_the_argument_is_read_with_some_patience(argument: bytes) -> None:
    assert talk(OPEN + b"BDAT " + argument + b"\r\nx\r\n").messages == [b"x\n"]


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"+1", b"1.5", b"1 FIRST", b"LAST", b"9" * 16, b"1 LAST LAST"])
def test_a_bad_argument_ends_the_session(argument: bytes) -> None:
    """Nobody can say where the next command begins."""
    result = talk(OPEN + b"BDAT " + argument + b"\r\nNOOP\r\n")
    assert result.last == "521 5.5.4 Syntax: BDAT count [LAST]"
    assert isinstance(result.events[-1], Close)


@pytest.mark.parametrize(
    ("before", "code"),
    [(b"", 503), (b"MAIL FROM:<>\r\n", 554), (b"MAIL FROM:<>\r\nRCPT TO:<no@d.example>\r\n", 554)],
)
def test_octets_of_a_refused_chunk_are_no_commands(before: bytes, code: int) -> None:
    for pieces in splits(HELLO + before + b"BDAT 12 LAST\r\nMAIL FROM:\r\nNOOP\r\n"):
        assert talk(pieces).codes[-2:] == [code, 250]


def test_a_failed_chunk_ends_the_transaction_and_what_was_pipelined_behind_it_is_refused() -> None:
    """RFC 3030 section 2: after a failure only a new MAIL, or RSET, begins anew."""
    settings = profile(size_limit=4)
    data = OPEN + b"BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 1 LAST\r\nx" + b"MAIL FROM:<>\r\n"
    for pieces in splits(data):
        result = talk(pieces, settings)
        assert result.codes[4:] == [552, 503, 503, 250]
        assert [type(event) for event in result.events].count(Reset) == 1


@pytest.mark.parametrize(("command", "code"), [(b"DATA", 503), (b"RCPT TO:<e@f.example>", 503), (b"MAIL FROM:<>", 503)])
def test_between_chunks_there_are_only_chunks(command: bytes, code: int) -> None:
    result = talk(OPEN + b"BDAT 1\r\nx" + command + b"\r\nBDAT 1 LAST\r\ny")
    assert result.codes[4:] == [250, code, 250]
    assert result.messages == [b"xy\n"]


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO c\r\n"])
def test_between_chunks_the_message_may_be_given_up(command: bytes) -> None:
    result = talk(OPEN + b"BDAT 1\r\nx" + command + b"BDAT 1 LAST\r\ny")
    assert result.codes[4:] == [250, 250, 503]
    assert not result.messages
