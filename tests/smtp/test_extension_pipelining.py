"""PIPELINING (RFC 2920): groups of commands are answered in order; who does not wait where it must is sent away."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Close, Note
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

STRICT = profile(forbid_pipelining=True)
HELLO = b"EHLO c\r\n"
GROUP = b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<no@d.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def test_it_is_announced() -> None:
    assert b"250-PIPELINING\r\n" in talk(HELLO).output


def test_a_group_is_answered_in_order_however_it_comes() -> None:
    for pieces in splits(GROUP):
        result = talk([b"", HELLO, *pieces, b"x\r\n.\r\n"], STRICT)
        assert result.codes[2:] == [250, 250, 554, 250, 354, 250]


def test_a_new_transaction_may_follow_the_final_dot_at_once() -> None:
    """RFC 2920 section 3.1: the message itself is no end of a group."""
    result = talk([b"", HELLO, GROUP, b"x\r\n.\r\n" + GROUP, b"y\r\n.\r\nQUIT\r\n"], STRICT)
    assert result.codes[2:] == [250, 250, 554, 250, 354, 250, 250, 250, 554, 250, 354, 250, 221]
    assert result.messages == [b"x\n", b"y\n"]


def test_chunks_may_be_pipelined() -> None:
    """RFC 3030 section 2: BDAT is no end of a group either."""
    data = GROUP.removesuffix(b"DATA\r\n") + b"BDAT 2\r\nx\rBDAT 1 LAST\r\n\nQUIT\r\n"
    for pieces in splits(data):
        assert talk([b"", HELLO, *pieces], STRICT).codes[2:] == [250, 250, 554, 250, 250, 250, 221]


@pytest.mark.parametrize("verb", [b"EHLO c", b"DATA", b"VRFY a@b.example", b"NOOP"])
def test_nothing_may_follow_the_last_of_a_group(verb: bytes) -> None:
    """RFC 2920 section 3.1."""
    opened = GROUP.removesuffix(b"DATA\r\n") if verb == b"DATA" else b"RSET\r\n"
    result = talk([b"", HELLO, opened, verb + b"\r\nRSET\r\n"], STRICT)
    assert result.last == "554 5.5.0 Error: SMTP protocol synchronization"
    assert isinstance(result.events[-1], Close)
    assert any(isinstance(event, Note) and "improper command pipelining" in event.kind for event in result.events)


def test_without_ehlo_there_is_no_pipelining() -> None:
    assert talk([b"", b"HELO c\r\n", b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n"], STRICT).codes[-1] == 554


def test_data_without_recipients_in_a_group_is_refused_and_content_is_none() -> None:
    """RFC 2920 section 3.2: a server must not take the text that a client then does not send."""
    result = talk([b"", HELLO, b"MAIL FROM:<>\r\nRCPT TO:<no@d.example>\r\nDATA\r\n", b"NOOP\r\n"], STRICT)
    assert result.codes[2:] == [250, 554, 554, 250]
