"""XFORWARD: where the next message came from (Postfix's XFORWARD_README)."""

from __future__ import annotations

import pytest

from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

MAY = ("XFORWARD",)
SAID = b"XFORWARD NAME=a.example ADDR=192.0.2.1\r\nXFORWARD HELO=h\r\n"
KEPT = {"NAME": "a.example", "ADDR": "192.0.2.1", "HELO": "h"}
MAIL, RCPT = b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b.example>\r\n"


def test_it_is_announced_to_those_who_may() -> None:
    words = b"XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n"
    assert words in talk(b"EHLO c\r\n", granted=MAY).output
    assert b"XFORWARD" not in talk(b"EHLO c\r\n").output


def test_others_have_no_right_to_it() -> None:
    result = talk(b"EHLO c\r\n" + SAID)
    assert result.codes[2:] == [550, 550]
    assert result.session.transaction.forwarded is None


def test_attributes_of_several_commands_hold_for_the_next_message() -> None:
    for pieces in splits(b"EHLO c\r\n" + SAID + MAIL + RCPT):
        result = talk(pieces, granted=MAY)
        assert result.codes[2:] == [250, 250, 250, 250]
        assert result.session.transaction.forwarded == KEPT


@pytest.mark.parametrize(
    "end",
    [
        b"RSET\r\n",
        b"EHLO c\r\n",
        MAIL + b"RSET\r\n",
        MAIL + RCPT + b"DATA\r\nx\r\n.\r\n",
        MAIL + RCPT + b"BDAT 3 LAST\r\nx\r\n",
        MAIL + RCPT + b"DATA\r\n" + b"x" * 200 + b"\r\n.\r\n",
        MAIL + RCPT + b"BDAT 200\r\n" + b"x" * 200,
        MAIL + b"BDAT 0 LAST\r\n",
    ],
)
def test_every_end_of_the_message_forgets_them(end: bytes) -> None:
    result = talk(b"EHLO c\r\n" + SAID + end, profile(size_limit=100), granted=MAY)
    assert result.session.transaction.forwarded is None
    assert not result.session.in_transaction


def test_a_refused_mail_keeps_them() -> None:
    result = talk(b"EHLO c\r\n" + SAID + b"MAIL FROM:<> X=1\r\n" + MAIL, granted=MAY)
    assert result.codes[2:] == [250, 250, 555, 250]
    assert result.session.transaction.forwarded == KEPT


def test_not_within_a_transaction() -> None:
    assert talk(b"EHLO c\r\n" + MAIL + SAID, granted=MAY).codes[3:] == [503, 503]


def test_bad_attributes_leave_what_was_said_before() -> None:
    result = talk(SAID + b"XFORWARD PORT=x NAME=b.example\r\n", granted=MAY)
    assert result.codes[-1] == 501
    assert result.session.transaction.forwarded == KEPT
