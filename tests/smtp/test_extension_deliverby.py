"""DELIVERBY (RFC 2852): the parameter BY of MAIL, and the least time for its mode R."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail
from tests.smtp.dialogue import profile, talk


def mail(parameter: str, **settings: object) -> tuple[str, Mail | None]:
    result = talk(f"EHLO c\r\nMAIL FROM:<> {parameter}\r\n".encode(), profile(**settings))
    return result.last, next((event for event in result.events if isinstance(event, Mail)), None)


def test_the_least_time_is_announced() -> None:
    assert b"250-DELIVERBY\r\n" in talk(b"EHLO c\r\n", profile(deliver_by=0)).output
    assert b"250-DELIVERBY 60\r\n" in talk(b"EHLO c\r\n", profile(deliver_by=60)).output
    assert b"DELIVERBY" not in talk(b"EHLO c\r\n", profile(deliver_by=None)).output


@pytest.mark.parametrize(
    ("parameter", "seconds", "mode"),
    [
        ("BY=120;R", 120, "R"),
        ("by=120;r", 120, "R"),
        ("BY=+120;RT", 120, "RT"),
        ("BY=0;N", 0, "N"),
        ("BY=-30;nt", -30, "NT"),
        ("BY=999999999;R", 999_999_999, "R"),
    ],
)
def test_time_mode_and_trace_are_read(parameter: str, seconds: int, mode: str) -> None:
    assert mail(parameter) == ("250 2.1.0 Ok", Mail("", by=seconds, by_mode=mode))


@pytest.mark.parametrize("value", ["BY", "BY=120", "BY=120;", "BY=120;X", "BY=1e3;R", "BY=1234567890;R", "BY=120;TR"])
def test_bad_values_are_refused(value: str) -> None:
    assert mail(value)[0] == "501 5.5.4 Error: Bad BY parameter syntax"


@pytest.mark.parametrize("value", ["BY=0;R", "BY=-1;R", "BY=-1;RT"])
def test_returning_needs_time(value: str) -> None:
    assert mail(value)[0] == "501 5.5.4 Error: BY with mode R needs a time above zero"


def test_the_least_time_holds_for_mode_r_only() -> None:
    assert mail("BY=59;R", deliver_by=60)[0] == "555 5.5.4 Error: BY with mode R needs at least 60 seconds"
    assert mail("BY=60;R", deliver_by=60)[0] == "250 2.1.0 Ok"
    assert mail("BY=5;N", deliver_by=60)[0] == "250 2.1.0 Ok"


def test_turned_off_it_is_unknown() -> None:
    assert mail("BY=120;R", deliver_by=None)[0] == "555 5.5.4 Unsupported option: BY=120;R"
