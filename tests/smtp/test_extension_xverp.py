"""XVERP (VERP_README of Postfix): a parameter of MAIL for the clients that may use it."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

MAY = ("XVERP",)
HELLO = b"EHLO c\r\n"


def test_it_is_announced_to_those_who_may() -> None:
    assert b"250-XVERP\r\n" in talk(HELLO, granted=MAY).output
    assert b"XVERP" not in talk(HELLO).output
    assert b"XVERP" not in talk(HELLO, profile(discarded=frozenset(MAY)), granted=MAY).output


@pytest.mark.parametrize(("parameter", "delimiters"), [(b"XVERP", "+="), (b"XVERP=-=", "-="), (b"xverp==+", "=+")])
def test_delimiters_are_the_usual_ones_or_those_named(parameter: bytes, delimiters: str) -> None:
    for pieces in splits(HELLO + b"MAIL FROM:<a@b.example> " + parameter + b"\r\n"):
        assert Mail("a@b.example", verp=delimiters) in talk(pieces, granted=MAY).events


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"<a@b.example> XVERP=", "555 5.5.4 Unsupported option: XVERP="),
        (b"<a@b.example> XVERP=+", "501 5.5.4 Error: XVERP needs two characters from -=+"),
        (b"<a@b.example> XVERP=!=", "501 5.5.4 Error: XVERP needs two characters from -=+"),
        (b"<a@b.example> XVERP=+=+", "501 5.5.4 Error: XVERP needs two characters from -=+"),
        (b"<> XVERP", "503 5.5.4 Error: XVERP requires non-null sender"),
    ],
)
def test_what_is_refused(line: bytes, reply: str) -> None:
    result = talk(HELLO + b"MAIL FROM:" + line + b"\r\n", granted=MAY)
    assert result.last == reply
    assert not any(isinstance(event, Mail) for event in result.events)


@pytest.mark.parametrize("settings", [profile(), profile(discarded=frozenset(MAY))])
def test_others_have_no_right_to_it(settings: object) -> None:
    granted = () if settings.offers("XVERP") else MAY  # type: ignore[attr-defined]
    result = talk(HELLO + b"MAIL FROM:<a@b.example> XVERP=+=\r\n", settings, granted=granted)  # type: ignore[arg-type]
    assert result.last == "555 5.5.4 Unsupported option: XVERP=+="
