"""REQUIRETLS (RFC 8689): a parameter of MAIL without value, offered and taken inside TLS only."""

from __future__ import annotations

from pillarbox.lib.smtp.events import Mail
from tests.smtp.dialogue import profile, talk

TLS = profile(tls=True)
EHLO = b"EHLO c\r\n"


def test_it_is_announced_inside_tls_only() -> None:
    clear, encrypted = talk(EHLO, TLS), talk([b"STARTTLS\r\n", EHLO], TLS)
    assert b"REQUIRETLS" not in clear.output
    assert b"250-REQUIRETLS\r\n" in encrypted.output


def test_it_is_taken_inside_tls() -> None:
    result = talk([b"STARTTLS\r\n", EHLO, b"MAIL FROM:<a@b.example> REQUIRETLS\r\n"], TLS)
    assert Mail("a@b.example", requiretls=True) in result.events


def test_in_clear_text_it_is_refused() -> None:
    result = talk(EHLO + b"MAIL FROM:<> REQUIRETLS\r\nRCPT TO:<c@d.example>\r\n", TLS)
    assert result.codes[2:] == [530, 503]
    assert b"530 5.7.10 Error: REQUIRETLS needs a session with TLS\r\n" in result.output


def test_it_has_no_value() -> None:
    assert talk([b"STARTTLS\r\n", EHLO, b"MAIL FROM:<> REQUIRETLS=1\r\n"], TLS).codes[-1] == 501


def test_turned_off_it_is_unknown() -> None:
    for settings in (profile(tls=True, requiretls=False), profile(tls=True, discarded=frozenset(("REQUIRETLS",)))):
        result = talk([b"STARTTLS\r\n", EHLO, b"MAIL FROM:<> REQUIRETLS\r\n"], settings)
        assert b"250-REQUIRETLS" not in result.output
        assert result.codes[-1] == 555
