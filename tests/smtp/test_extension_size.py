"""SIZE (RFC 1870): the limit is announced, held against the estimate in MAIL, and against what really comes."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail, Overflow
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

HELLO, LIMITED = b"EHLO c\r\n", profile(size_limit=10)
OPEN = HELLO + b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n"


def test_the_limit_is_announced() -> None:
    assert b"250-SIZE 10\r\n" in talk(HELLO, LIMITED).output
    assert b"250-SIZE\r\n" in talk(HELLO, profile(size_limit=0)).output


@pytest.mark.parametrize(
    ("size", "code"), [("0", 250), ("10", 250), ("11", 552), ("9" * 20, 552), ("9" * 21, 501), ("", 555)]
)
def test_the_estimate_is_looked_at_in_mail(size: str, code: int) -> None:
    """RFC 1870 section 6.1."""
    result = talk(HELLO + f"MAIL FROM:<> SIZE={size}\r\n".encode(), LIMITED)
    assert result.codes[-1] == code
    assert result.session.in_transaction == (code == 250)


def test_without_limit_any_estimate_will_do() -> None:
    assert (
        Mail("", size=10**19)
        in talk(HELLO + b"MAIL FROM:<> SIZE=1" + b"0" * 19 + b"\r\n", profile(size_limit=0)).events
    )


@pytest.mark.parametrize(
    ("content", "code"), [(b"12345678\r\n", 250), (b"123456789\r\n", 250), (b"1234567890\r\n", 552)]
)
def test_what_comes_counts_not_what_was_said(content: bytes, code: int) -> None:
    """RFC 1870 section 6.3."""
    for pieces in splits(OPEN + b"DATA\r\n" + content + b".\r\nNOOP\r\n"):
        result = talk(pieces, LIMITED)
        assert result.codes[4:] == [354, code, 250]
        assert any(isinstance(event, Overflow) for event in result.events) == (code == 552)
