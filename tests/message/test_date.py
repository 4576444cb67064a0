"""Dates of header fields."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message import date
from pillarbox.lib.message.date import format_asctime, format_date, parse_date

WHEN = 1795319643.0  # 22 Nov 2026 03:54:03 UTC


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    monkeypatch.setattr(date, "_last_second", (-1, ""))
    yield
    monkeypatch.undo()
    time.tzset()
    date._last_second = (-1, "")


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC0", "Sun, 22 Nov 2026 03:54:03 +0000 (UTC)"),
        ("CET-1", "Sun, 22 Nov 2026 04:54:03 +0100 (CET)"),
        ("NST3:30", "Sun, 22 Nov 2026 00:24:03 -0330 (NST)"),
        ("<+0545>-5:45", "Sun, 22 Nov 2026 09:39:03 +0545"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_formatting_in_the_local_zone(text: str) -> None:
    assert format_date(WHEN) == text
    assert parse_date(text) == WHEN


@pytest.mark.parametrize("zone", ["UTC0"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_the_day_has_two_digits() -> None:
    assert format_date(0) == "Thu, 01 Jan 1970 00:00:00 +0000 (UTC)"
    assert format_asctime(0) == "Thu Jan  1 00:00:00 1970"


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 03:54:03 +0000",
        "22 Nov 2026 03:54:03 +0000",
        "Sun,22 Nov 26 03:54:03 GMT",
        "Sun, 22 Nov 126 03:54:03 UT",
        "Sunday, 22-Nov-26 03:54:03 GMT",
        "Sun, 22 Nov 2026 04:54:03 +01:00",
        "Sat, 21 Nov 2026 22:54:03 EST",
        "Sun, 22 Nov 2026 03:54:03",
        "Sun, 22 Nov 2026 03:54:03 -0000 (a (nested) comment)",
        "(x) Sun, 22 Nov 2026 03:54:03 Z",
        "22 November 2026 03:54:03 +0000",
        "Sun Nov 22 03:54:03 2026",
        "Sun Nov 22 03:54:03 GMT 2026",
        "Sun Nov 22 04:54:03 2026 +0100",
        "  Sun,  22  Nov  2026  03 : 54 : 03  +0000  ",
        "Sun, 22 Nov 2026 03:54:03.123 +0000",
    ],
)
def test_the_forms_that_mail_uses(text: str) -> None:
    assert parse_date(text) == WHEN


def test_seconds_may_be_missing() -> None:
    assert parse_date("Sun, 22 Nov 2026 03:54 +0000") == WHEN - 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "1 Jan 2026", "2026-11-22T03:54:03Z"),
        *("32 Nov 2026 03:54:03", "30 Feb 2026 00:00:00", "1 Foo 2026 00:00:00", "1 Jan 2026 24:00:00"),
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@given(st.text(max_size=200))
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_date(text)


@given(st.integers(0, 4_000_000_000))
def test_every_time_survives(second: int) -> None:
    assert parse_date(format_date(second)) == second
