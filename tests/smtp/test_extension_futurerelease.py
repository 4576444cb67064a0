"""FUTURERELEASE (RFC 4865): HOLDFOR and HOLDUNTIL of MAIL."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Event, Hello, Mail
from pillarbox.lib.smtp.server import ServerSession
from tests.smtp.dialogue import profile, talk

WEEK = 7 * 24 * 3600


def mail(parameters: str, limit: int = WEEK) -> tuple[str, Mail | None]:
    result = talk(f"EHLO c\r\nMAIL FROM:<> {parameters}\r\n".encode(), profile(hold_limit=limit))
    return result.last, next((event for event in result.events if isinstance(event, Mail)), None)


def test_interval_and_moment_are_announced() -> None:
    session = ServerSession(profile(hold_limit=WEEK))
    session.greet()
    for now, moment in ((1795319643.5, b"2026-11-29T03:54:03Z"), (1795319644.0, b"2026-11-29T03:54:04Z")):
        session.feed(b"EHLO c\r\n")
        event: Event | None = session.next_event()
        assert isinstance(event, Hello)
        session.answer_hello((), now)
        assert b"250-FUTURERELEASE 604800 " + moment + b"\r\n" in session.take_output()


def test_where_it_is_not_configured_it_is_unknown() -> None:
    assert b"FUTURERELEASE" not in talk(b"EHLO c\r\n").output
    assert mail("HOLDFOR=5", 0)[0] == "555 5.5.4 Unsupported option: HOLDFOR=5"
    assert mail("HOLDUNTIL=2026-11-29T00:00:00Z", 0)[0].startswith("555 5.5.4")


def test_seconds_are_read() -> None:
    assert mail("HOLDFOR=86400") == ("250 2.1.0 Ok", Mail("", hold_for=86400))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-29T03:54:03Z", 1795924443),
        ("2026-11-29t03:54:03z", 1795924443),
        ("2026-11-29T04:54:03+01:00", 1795924443),
        ("2026-11-29T03:54:03.5Z", 1795924443.5),
    ],
)
def test_moments_are_read(text: str, moment: float) -> None:
    assert mail(f"HOLDUNTIL={text}") == ("250 2.1.0 Ok", Mail("", hold_until=moment))


@pytest.mark.parametrize("value", ["", "=", "=0", "=-1", "=+5", "=1.5", "=1234567890", "=x"])
def test_bad_seconds_are_refused(value: str) -> None:
    expected = "555 5.5.4" if value == "=" else "501 5.5.4 Error: Bad HOLDFOR parameter syntax"
    assert mail(f"HOLDFOR{value}")[0].startswith(expected)


@pytest.mark.parametrize(
    "value",
    [
        *("", "=2026-11-29", "=2026-11-29T03:54:03", "=2026-13-29T03:54:03Z", "=2026-11-29T25:54:03Z"),
        *(
            "=20261129T035403Z",
            "=2026-11-29T03:54:03+0100",
            "=0000-11-29T03:54:03Z",
            "=1969-01-01T00:00:00Z",
            "=1795924443",
        ),
        "=0001-01-01T00:00:00+23:59",
    ],
)
def test_bad_moments_are_refused(value: str) -> None:
    assert mail(f"HOLDUNTIL{value}")[0] == "501 5.5.4 Error: Bad HOLDUNTIL parameter syntax"


def test_more_than_announced_is_refused() -> None:
    assert mail("HOLDFOR=604801")[0] == "501 5.5.4 Error: a message is held for 604800 seconds at most"


@pytest.mark.parametrize("first", [True, False])
def test_only_one_of_both(first: bool) -> None:
    both = ("HOLDFOR=5", "HOLDUNTIL=2026-11-29T03:54:03Z")
    said = mail(" ".join(both if first else both[::-1]))[0]
    assert said == "501 5.5.4 Error: HOLDFOR and HOLDUNTIL exclude each other"
