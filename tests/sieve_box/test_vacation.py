"""Whom a vacation reply is sent to, and what it looks like."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve_box.replies import Letterhead, vacation_reply
from pillarbox.lib.sieve_box.vacation import named_recipients, period, response_key, why_not

HEADER = b"From: Bob <bob@example.org>\nTo: Ann <Ann@Example.com>\nSubject: Hi\nMessage-ID: <1@example.org>\n"
OWN = ("ann@example.com",)
HEAD = Letterhead(1_800_000_000.0, "<r@mx.example.com>", "ann@example.com")


def read(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def reply(reason: str = "I am away.", *, mime: bool = False, answered: bytes = HEADER) -> bytes:
    return vacation_reply(HEAD, to="bob@example.org", subject="Auto: Hi", reason=reason, mime=mime, answered=answered)


def test_a_person_who_writes_to_the_user_is_answered() -> None:
    assert why_not(HEADER, "bob@example.org", OWN) == ""


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        ("", b""),
        ("MAILER-DAEMON@example.org", b""),
        ("owner-list@example.org", b""),
        ("list-request@example.org", b""),
        ("majordomo@example.org", b""),
        ("listserv@example.org", b""),
        ("Ann@example.com", b""),
        ("bob@example.org", b"List-Id: <x.example.org>\n"),
        ("bob@example.org", b"List-Unsubscribe: <mailto:x@example.org>\n"),
        ("bob@example.org", b"Precedence: BULK\n"),
        ("bob@example.org", b"Auto-Submitted: auto-replied\n"),
        ("bob@example.org", b"auto-submitted: Auto-Generated (x)\n"),
    ],
)
def test_machines_and_lists_are_not_answered(sender: str, field: bytes) -> None:
    assert why_not(field + HEADER, sender, OWN)


def test_auto_submitted_no_is_a_person() -> None:
    assert why_not(b"Auto-Submitted: no\n" + HEADER, "bob@example.org", OWN) == ""


@pytest.mark.parametrize("name", [b"To", b"CC", b"bcc", b"Resent-To", b"Resent-Cc", b"Resent-Bcc"])
def test_the_user_must_be_named(name: bytes) -> None:
    header = b"From: bob@example.org\n" + name + b": x@y, Ann\n\t<ANN@example.com>\n"
    assert why_not(header, "bob@example.org", OWN) == ""
    assert why_not(header, "bob@example.org", ("other@example.com",)) == "no header field names the user"
    assert why_not(header, "bob@example.org", ("other@example.com",), check_recipient=False) == ""


@given(st.binary(max_size=200))
def test_any_header_can_be_read(header: bytes) -> None:
    assert isinstance(named_recipients(b"To: " + header), frozenset)
    assert isinstance(why_not(header, "bob@example.org", OWN), str)


def test_periods_stay_within_the_sites_limits() -> None:
    assert period(60, least=3600, most=0) == 3600
    assert period(10**9, least=3600, most=7200) == 7200
    assert period(5000, least=3600, most=7200) == 5000


def test_replies_are_remembered_by_sender_and_handle() -> None:
    assert response_key("Bob@x", "a") == response_key("bob@X", "a") != response_key("bob@x", "b")


def test_a_reply_says_what_it_is_and_what_it_answers() -> None:
    message = read(reply())
    assert message["From"] == "ann@example.com"
    assert message["To"] == "bob@example.org"
    assert message["Subject"] == "Auto: Hi"
    assert message["Auto-Submitted"] == "auto-replied (vacation)"
    assert message["In-Reply-To"] == message["References"] == "<1@example.org>"
    assert message.get_content() == "I am away.\n"


def test_references_grow_by_the_answered_message_and_are_bounded() -> None:
    message = read(reply(answered=HEADER + b"References: <a@x> <b@x>\n"))
    assert message["References"] == "<a@x> <b@x> <1@example.org>"
    many = b"References:" + b" <0123456789@example.org>\n" * 10_000
    assert len(reply(answered=HEADER + many)) < 6000


@pytest.mark.parametrize("identifier", [b"<a\0b@x>", b"x", b"<\xff@x>", b"<" + b"a" * 2000 + b">"])
def test_what_is_no_identifier_is_not_repeated(identifier: bytes) -> None:
    octets = reply(answered=b"Message-ID: " + identifier + b"\nReferences: " + identifier + b"\n")
    assert b"In-Reply-To" not in octets and b"References" not in octets


def test_text_that_is_not_ascii_survives_seven_bits() -> None:
    octets = reply("Ich bin im Büro\r\n" + "x" * 3000)
    assert octets.isascii() and max(map(len, octets.split(b"\n"))) <= 998
    assert read(octets).get_content() == "Ich bin im Büro\n" + "x" * 3000 + "\n"


def test_a_mime_reason_is_the_entity_and_sets_no_other_field() -> None:
    reason = (
        'Content-Type: multipart/alternative;\r\n boundary="b"\r\nBcc: victim@example.net\r\nFrom: x@y\r\n\r\n'
        "--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b--\r\n"
    )
    message = read(reply(reason, mime=True))
    assert message["Bcc"] is None and message["From"] == "ann@example.com"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@given(st.text(max_size=200), st.text(max_size=60), st.booleans())
def test_no_text_adds_a_field(reason: str, subject: str, mime: bool) -> None:
    octets = vacation_reply(HEAD, to="b@x.org", subject=subject, reason=reason, mime=mime, answered=HEADER)
    header = octets.partition(b"\n\n")[0]
    names = [line.partition(b":")[0].lower() for line in header.split(b"\n") if line[:1] not in (b" ", b"\t")]
    plain = [name for name in names if not name.startswith(b"content-")]
    expected = [b"date", b"from", b"to", b"subject", b"message-id", b"auto-submitted", b"precedence"]
    assert plain == [*expected, b"in-reply-to", b"references", b"mime-version"]
