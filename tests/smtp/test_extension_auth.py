"""AUTH (RFC 4954), as far as the protocol core has part in it: who may, when, and how an exchange ends."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Auth, AuthResponse, Mail
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

HELLO, AUTH = b"EHLO c\r\n", profile(auth=True)


def test_mechanisms_are_announced() -> None:
    assert b"250-AUTH PLAIN\r\n" in talk(HELLO, AUTH).output


@pytest.mark.parametrize(
    ("exchange", "events"),
    [
        (b"AUTH PLAIN c2VjcmV0\r\n", [Auth("PLAIN", b"secret")]),
        (b"auth plain c2VjcmV0\r\n", [Auth("PLAIN", b"secret")]),
        (b"AUTH PLAIN\r\nc2VjcmV0\r\n", [Auth("PLAIN", None), AuthResponse(b"secret")]),
        (b"AUTH PLAIN =\r\n", [Auth("PLAIN", b"")]),
        (b"AUTH PLAIN\r\n\r\n", [Auth("PLAIN", None), AuthResponse(b"")]),
    ],
)
def test_responses_are_decoded(exchange: bytes, events: list[object]) -> None:
    for pieces in splits(HELLO + exchange):
        found = [event for event in talk(pieces, AUTH).events if isinstance(event, (Auth, AuthResponse))]
        assert found == events


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"AUTH PLAIN c2VjcmV0\r\nAUTH PLAIN c2VjcmV0\r\n", [235, 503]),
        (b"MAIL FROM:<>\r\nAUTH PLAIN c2VjcmV0\r\n", [250, 503]),
        (b"AUTH\r\nAUTH P?\r\nAUTH PLAIN a b\r\n", [501, 501, 501]),
        (b"AUTH PLAIN ???\r\n", [501]),
        (b"AUTH PLAIN\r\n*\r\nAUTH PLAIN c2VjcmV0\r\n", [334, 501, 235]),
        (b"AUTH PLAIN\r\nMAIL FROM:<>\r\nNOOP\r\n", [334, 501, 250]),
        (b"AUTH PLAIN d3Jvbmc=\r\nAUTH PLAIN c2VjcmV0\r\n", [535, 235]),
    ],
)
def test_replies(data: bytes, codes: list[int]) -> None:
    for pieces in splits(HELLO + data):
        assert talk(pieces, AUTH).codes[2:] == codes


def test_not_before_ehlo_nor_in_clear_text_where_that_is_forbidden() -> None:
    assert talk(b"AUTH PLAIN c2VjcmV0\r\n", AUTH).codes[-1] == 503
    assert talk(HELLO + b"AUTH PLAIN c2VjcmV0\r\n", profile(auth=True, auth_needs_tls=True)).codes[-1] == 538


def test_a_failure_leaves_the_client_as_it_was() -> None:
    for failure in (b"AUTH PLAIN d3Jvbmc=\r\n", b"AUTH PLAIN\r\n*\r\n", b"AUTH PLAIN\r\n?\r\n"):
        session = talk(HELLO + failure, AUTH).session
        assert (session.authenticated, session.helo_name, session.protocol) == (False, "c", "ESMTP")


def test_the_parameter_of_mail_is_xtext() -> None:
    """RFC 4954 section 5."""
    assert Mail("", auth="a+b@c.example") in talk(HELLO + b"MAIL FROM:<> AUTH=a+2Bb@c.example\r\n", AUTH).events
    assert Mail("", auth="") in talk(HELLO + b"MAIL FROM:<> AUTH=<>\r\n", AUTH).events
    assert talk(HELLO + b"MAIL FROM:<> AUTH=<>\r\n", profile()).codes[-1] == 555
