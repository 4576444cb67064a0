"""XCLIENT: the session begins anew, for another client (Postfix's XCLIENT_README)."""

from __future__ import annotations

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Event, XClient
from pillarbox.lib.smtp.reply import Reply
from tests.feeding import splits
from tests.smtp.dialogue import HOST, default_policy, profile, talk

MAY = ("XCLIENT",)


def test_it_is_announced_to_those_who_may() -> None:
    words = b"XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT\r\n"
    assert words in talk(b"EHLO c\r\n", granted=MAY).output
    assert b"XCLIENT" not in talk(b"EHLO c\r\n").output


def test_others_have_no_right_to_it() -> None:
    result = talk(b"EHLO c\r\nXCLIENT ADDR=192.0.2.1\r\n")
    assert result.last == "550 5.7.0 Error: insufficient authorization"
    assert not any(isinstance(event, XClient) for event in result.events)


def test_the_session_begins_anew() -> None:
    data = b"EHLO c\r\nAUTH PLAIN c2VjcmV0\r\nXCLIENT ADDR=192.0.2.1 NAME=a.example\r\n"
    for pieces in splits(data):
        result = talk(pieces, profile(auth=True), granted=MAY)
        assert result.codes == [220, 250, 235, 220]
        assert result.last == f"220 {HOST} ESMTP Pillarbox"
        session = result.session
        assert (session.helo_name, session.protocol, session.authenticated) == ("", "SMTP", False)
        assert result.events[-1] == XClient({"ADDR": "192.0.2.1", "NAME": "a.example"})


def test_name_protocol_and_login_are_those_of_the_client() -> None:
    session = talk(b"XCLIENT HELO=h.example PROTO=ESMTP LOGIN=ann\r\n", granted=MAY).session
    assert (session.helo_name, session.protocol, session.authenticated) == ("h.example", "ESMTP", True)
    session = talk(
        b"XCLIENT HELO=h LOGIN=ann\r\nXCLIENT HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]\r\n", granted=MAY
    ).session
    assert (session.helo_name, session.authenticated) == ("", False)


def test_not_within_a_transaction() -> None:
    result = talk(b"MAIL FROM:<>\r\nXCLIENT ADDR=192.0.2.1\r\nRSET\r\nXCLIENT ADDR=192.0.2.1\r\n", granted=MAY)
    assert result.codes[1:] == [250, 503, 250, 220]


def test_what_xforward_said_before_is_forgotten() -> None:
    result = talk(b"XFORWARD HELO=h\r\nXCLIENT ADDR=192.0.2.1\r\n", granted=("XCLIENT", "XFORWARD"))
    assert result.session.transaction.forwarded is None


def test_a_refusal_changes_nothing() -> None:
    def policy(event: Event) -> Reply | None:
        return replies.NOT_AUTHORIZED if isinstance(event, XClient) else default_policy(event)

    result = talk(b"EHLO c\r\nXCLIENT HELO=other\r\nXCLIENT HELO=\r\n", policy=policy, granted=MAY)
    assert result.codes[2:] == [550, 501]
    assert (result.session.helo_name, result.session.protocol) == ("c", "ESMTP")


def test_tls_stays() -> None:
    result = talk([b"STARTTLS\r\n", b"XCLIENT ADDR=192.0.2.1\r\nSTARTTLS\r\n"], profile(tls=True), granted=MAY)
    assert result.codes[-2:] == [220, 554]


def test_it_is_the_last_of_a_group() -> None:
    result = talk([b"", b"XCLIENT ADDR=192.0.2.1\r\nEHLO c\r\n"], profile(forbid_pipelining=True), granted=MAY)
    assert result.codes[-1] == 554


def test_lmtp_has_it_too() -> None:
    result = talk(b"LHLO c\r\nXCLIENT PROTO=ESMTP\r\nMAIL FROM:<>\r\n", profile(lmtp=True), granted=MAY)
    assert result.codes[1:] == [250, 220, 503]
    assert result.session.protocol == "LMTP"
