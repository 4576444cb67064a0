"""STARTTLS (RFC 3207), as far as the protocol core has part in it: before, between and after the handshake."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, StartTls
from pillarbox.lib.smtp.server import ServerSession
from tests.feeding import splits
from tests.smtp.dialogue import profile, talk

HELLO, TLS = b"EHLO c\r\n", profile(tls=True, auth=True)


def test_it_is_announced_until_it_is_done() -> None:
    result = talk([HELLO + b"STARTTLS\r\n", HELLO], TLS)
    before, _, after = result.output.partition(b"220 2.0.0 Ready to start TLS\r\n")
    assert b"250-STARTTLS\r\n" in before
    assert b"STARTTLS" not in after


@pytest.mark.parametrize(
    "injected",
    [
        b"MAIL FROM:<evil@x.example>\r\n",
        b"EHLO evil\r\nAUTH PLAIN c2VjcmV0\r\n",
        b"RSET\r\n",
        b"MAIL FROM:<e",
        b"\r\n",
        b"\x00",
    ],
)
def test_nothing_sent_in_clear_text_behind_it_is_obeyed(injected: bytes) -> None:
    session = ServerSession(TLS)
    session.greet()
    for piece in (HELLO + b"STARTTLS\r\n" + injected, injected):
        session.feed(piece)
        while (event := session.next_event()) is not None:
            assert not isinstance(event, Mail)
            if isinstance(event, StartTls):
                session.answer(replies.READY_FOR_TLS)
            elif session.waiting:
                session.answer_hello()
    session.input.clear()  # what came during the handshake went to TLS
    session.tls_started()
    session.take_output()
    session.feed(b"NOOP\r\n")
    assert session.next_event() is None
    assert session.take_output() == b"250 2.0.0 Ok\r\n"


def test_what_was_said_before_is_forgotten() -> None:
    """RFC 3207 section 4.2."""
    for pieces in splits(HELLO + b"AUTH PLAIN c2VjcmV0\r\nSTARTTLS\r\n"):
        result = talk([*pieces, b"AUTH PLAIN c2VjcmV0\r\n", HELLO, b"AUTH PLAIN c2VjcmV0\r\n"], TLS)
        assert result.codes[1:] == [250, 235, 220, 503, 250, 235]


@pytest.mark.parametrize(
    ("settings", "command", "code"),
    [
        (TLS, b"STARTTLS x\r\n", 501),
        (profile(), b"STARTTLS\r\n", 502),
        (profile(tls=True, discarded=frozenset(("STARTTLS",))), b"STARTTLS\r\n", 502),
        (TLS, b"MAIL FROM:<>\r\nSTARTTLS\r\n", 503),
    ],
)
def test_where_it_does_not_belong_it_is_refused_and_changes_nothing(
    settings: object, command: bytes, code: int
) -> None:
    result = talk(HELLO + command + b"NOOP\r\n", settings)  # type: ignore[arg-type]
    assert result.codes[-2:] == [code, 250]
    assert result.session.helo_name == "c"


def test_once_is_enough() -> None:
    assert talk([b"STARTTLS\r\n", b"STARTTLS\r\n"], TLS).codes[-1] == 554
