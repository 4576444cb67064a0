"""EXPN (RFC 5321 section 4.1.1.7): for those who may, not there for others."""

from __future__ import annotations

from pillarbox.lib.smtp.events import Expand
from tests.smtp.dialogue import talk


def test_it_is_off_by_default() -> None:
    result = talk(b"EHLO c\r\nEXPN list\r\n")
    assert b"EXPN" not in result.output
    assert result.last == "502 5.5.1 Error: command not implemented"


def test_who_may_gets_one_address_per_line() -> None:
    result = talk(b"EHLO c\r\nEXPN list\r\n", granted=("EXPN",))
    assert b"250-EXPN\r\n" in result.output
    assert result.events[-1] == Expand("list")
    assert result.output.endswith(b"250-2.0.0 <a@b.example>\r\n250 2.0.0 <c@d.example>\r\n")


def test_it_needs_an_argument() -> None:
    assert talk(b"EXPN\r\n", granted=("EXPN",)).last == "501 5.5.4 Syntax: EXPN alias"


def test_within_a_transaction_it_changes_nothing() -> None:
    result = talk(b"EHLO c\r\nMAIL FROM:<>\r\nEXPN list\r\nRCPT TO:<a@b.example>\r\n", granted=("EXPN",))
    assert result.codes[2:] == [250, 250, 250]
