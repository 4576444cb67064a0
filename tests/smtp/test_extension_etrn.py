"""ETRN (RFC 1985), with the replies of Postfix."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Etrn
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

ETRN = profile(etrn=True)


def test_it_is_announced_where_it_is_offered() -> None:
    assert b"250-ETRN\r\n" in talk(b"EHLO c\r\n", ETRN).output
    assert b"ETRN" not in talk(b"EHLO c\r\n", profile()).output
    assert b"ETRN" not in talk(b"LHLO c\r\n", profile(etrn=True, lmtp=True)).output


@pytest.mark.parametrize(
    ("argument", "domain"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org", "example.org"),
        ("@example.org", "example.org"),
        ("#example.org", "example.org"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_a_site_is_asked_for(argument: str, domain: str) -> None:
    for pieces in splits(f"EHLO c\r\nETRN {argument}\r\n".encode()):
        result = talk(pieces, ETRN)
        assert result.events[-1] == Etrn(domain)
        assert result.last == "250 2.0.0 Queuing started"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("ETRN", "500 5.5.4 Syntax: ETRN domain"),
        ("ETRN a.example b.example", "500 5.5.4 Syntax: ETRN domain"),
        ("ETRN @", "501 5.5.4 Error: invalid parameter syntax"),
        ("ETRN a/b", "501 5.5.4 Error: invalid parameter syntax"),
        ("ETRN ../../etc", "501 5.5.4 Error: invalid parameter syntax"),
        ("ETRN " + "a" * 300, "501 5.5.4 Error: invalid parameter syntax"),
        ("ETRN \u00fc.example", "501 5.5.4 Error: invalid parameter syntax"),
    ],
)
def test_bad_arguments_are_refused(command: str, reply: str) -> None:
    assert talk(f"EHLO c\r\n{command}\r\n".encode(), ETRN).last == reply


def test_not_within_a_transaction() -> None:
    result = talk(b"EHLO c\r\nMAIL FROM:<>\r\nETRN example.org\r\nRSET\r\nETRN example.org\r\n", ETRN)
    assert result.codes[2:] == [250, 503, 250, 250]


def test_not_before_hello_where_that_is_demanded() -> None:
    assert talk(b"ETRN example.org\r\n", profile(etrn=True, helo_required=True)).codes[-1] == 503


def test_not_offered_it_is_not_implemented() -> None:
    assert talk(b"EHLO c\r\nETRN example.org\r\n", profile()).codes[-1] == 502
    assert talk(b"EHLO c\r\nETRN example.org\r\n", profile(etrn=True, discarded=frozenset(("ETRN",)))).codes[-1] == 502
