"""Notifications by mail (RFC 5436), and the notice of an error."""

from __future__ import annotations

from pillarbox.lib.sieve.mailto import parse_mailto
from pillarbox.lib.sieve_box.replies import error_notice, notification
from tests.sieve_box.test_vacation import HEAD, HEADER, read


def notify(uri: str, message: str = "", importance: int = 2) -> bytes:
    return notification(
        HEAD, uri=parse_mailto(uri), owner="ann@example.com", message=message, importance=importance, about=HEADER
    )


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
