"""8BITMIME (RFC 6152): BODY says what the content is; octets above 127 are taken."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail
from tests.feeding import splits
from tests.smtp.dialogue import talk

HELLO = b"EHLO c\r\n"


def test_it_is_announced() -> None:
    assert b"250-8BITMIME\r\n" in talk(HELLO).output


@pytest.mark.parametrize(("value", "body"), [("7BIT", "7bit"), ("8BITMIME", "8bitmime"), ("8bitmime", "8bitmime")])
def test_body_is_read(value: str, body: str) -> None:
    assert Mail("", body=body) in talk(HELLO + f"MAIL FROM:<> BODY={value}\r\n".encode()).events


@pytest.mark.parametrize("value", ["BODY", "BODY=9BIT", "BODY=7BIT BODY=8BITMIME"])
def test_bad_values_are_refused(value: str) -> None:
    assert talk(HELLO + f"MAIL FROM:<> {value}\r\n".encode()).codes[-1] == 501


def test_octets_stay_what_they_are() -> None:
    content = bytes(octet for octet in range(256) if octet not in b"\r\n")
    data = HELLO + b"MAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + content + b"\r\n.\r\n"
    for pieces in splits(data):
        assert talk(pieces).messages == [content + b"\n"]


def test_helo_has_no_extensions_to_announce() -> None:
    assert talk(b"HELO c\r\n").output.count(b"\r\n") == 2
