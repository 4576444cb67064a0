"""Notifications by mail (RFC 5436), and the notice of an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve_box.replies import MailtoUri, error_notice, notification, parse_mailto
from tests.sieve_box.test_vacation import HEAD, HEADER, read


def notify(uri: str, message: str = "", importance: int = 2) -> bytes:
    return notification(
        HEAD, uri=parse_mailto(uri), owner="ann@example.com", message=message, importance=importance, about=HEADER
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mailto:a@b.org", MailtoUri(("a@b.org",))),
        ("MAILTO:a@b.org,c%40d.org", MailtoUri(("a@b.org", "c@d.org"))),
        ("mailto:?to=a@b.org&cc=c@d.org", MailtoUri(("a@b.org",), ("c@d.org",))),
        ("mailto:a@b.org?Subject=x%20y&body=l1%0D%0Al2", MailtoUri(("a@b.org",), (), "x y", "l1\r\nl2")),
        ("mailto:a@b.org?from=x@y.org&X-Group=g", MailtoUri(("a@b.org",), fields=(("X-Group", "g"),))),
    ],
)
def test_a_uri_is_read(uri: str, expected: MailtoUri) -> None:
    assert parse_mailto(uri) == expected


@pytest.mark.parametrize(
    "uri",
    ["", "mailto:", "a@b.org", "xmpp:a@b.org", "mailto:a b@c", "mailto:a@b.org?x", "mailto:%ff@b.org", "mailto:@"],
)
def test_a_bad_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        parse_mailto(uri)


def test_no_uri_writes_to_the_world() -> None:
    with pytest.raises(ValueError, match="at most 10 addresses"):
        parse_mailto("mailto:" + ",".join(f"a{number}@b.org" for number in range(11)))


@given(st.text(max_size=80))
def test_any_uri_is_read_or_refused(text: str) -> None:
    try:
        uri = parse_mailto("mailto:" + text)
    except ValueError:
        return
    assert uri.recipients


def test_a_notification_says_what_it_is() -> None:
    message = read(notify("mailto:m@phone.example", importance=1))
    assert message["Auto-Submitted"] == 'auto-notified; owner-email="ann@example.com"'
    assert message["Subject"] == "Hi" and message["Importance"] == "High"
    assert "From: Bob <bob@example.org>" in message.get_content()


def test_the_scripts_message_is_subject_and_text_where_the_uri_has_none() -> None:
    message = read(notify("mailto:m@phone.example", "You got mail"))
    assert message["Subject"] == "You got mail" and message.get_content() == "You got mail\n"
    message = read(notify("mailto:m@phone.example?subject=S&body=B", "You got mail"))
    assert message["Subject"] == "S" and message.get_content() == "B\n"


def test_no_uri_smuggles_fields_in() -> None:
    octets = notify("mailto:m@phone.example?X-A=1%0ABcc:%20v@x.org&subject=a%0D%0ABcc:%20v@x.org&bcc=v@x.org")
    assert b"\nBcc" not in octets and b"\nbcc" not in octets


def test_the_owner_is_told_of_an_error() -> None:
    message = read(error_notice(HEAD, to="ann@example.com", error="main:3:1: too many actions"))
    assert message["To"] == "ann@example.com" and message["Auto-Submitted"] == "auto-generated"
    assert "main:3:1: too many actions" in message.get_content()
