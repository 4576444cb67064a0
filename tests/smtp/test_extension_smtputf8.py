"""SMTPUTF8 (RFC 6531): UTF-8 in addresses, for those who ask for it in MAIL."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail, Rcpt, Verify
from tests.smtp.dialogue import profile, talk

HELLO = b"EHLO c\r\n"
SENDER, RECIPIENT = "jos\u00e9@\u00fcber.example", "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@d.example"


def said(*lines: str) -> bytes:
    return HELLO + "".join(f"{line}\r\n" for line in lines).encode()


def test_it_is_announced_unless_turned_off() -> None:
    assert b"SMTPUTF8\r\n" in talk(HELLO).output
    for settings in (profile(smtputf8=False), profile(discarded=frozenset(("SMTPUTF8",)))):
        assert b"SMTPUTF8" not in talk(HELLO, settings).output
        assert talk(said("MAIL FROM:<> SMTPUTF8"), settings).codes[-1] == 555


def test_addresses_of_both_commands_may_be_international() -> None:
    result = talk(said(f"MAIL FROM:<{SENDER}> SMTPUTF8", f"RCPT TO:<{RECIPIENT}>"))
    assert result.codes[2:] == [250, 250]
    assert Mail(SENDER, smtputf8=True) in result.events
    assert Rcpt(RECIPIENT) in result.events


def test_without_the_parameter_they_may_not() -> None:
    """RFC 6531 section 3.5: 550 for the sender, 553 for a recipient."""
    assert talk(said(f"MAIL FROM:<{SENDER}>")).last.startswith("550 5.6.7")
    assert talk(said("MAIL FROM:<>", f"RCPT TO:<{RECIPIENT}>")).last.startswith("553 5.6.7")


def test_it_holds_for_one_message() -> None:
    for end in ("RSET", "EHLO c"):
        assert talk(said("MAIL FROM:<> SMTPUTF8", end, "MAIL FROM:<>", f"RCPT TO:<{RECIPIENT}>")).codes[-1] == 553


def test_it_has_no_value() -> None:
    assert talk(said("MAIL FROM:<> SMTPUTF8=1")).codes[-1] == 501


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"])
def test_what_is_no_utf8_is_refused(octets: bytes) -> None:
    result = talk(HELLO + b"MAIL FROM:<a" + octets + b"@b.example> SMTPUTF8\r\nNOOP\r\n")
    assert result.codes[2:] == [500, 250]


def test_vrfy_takes_utf8() -> None:
    assert Verify(RECIPIENT) in talk(said(f"VRFY {RECIPIENT}")).events
