"""The AUTHORIZATION state as dialogues; each is fed whole, byte by byte and in pieces."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import RESPONSE_LIMIT
from pillarbox.pop3d.protocol import authorization as core
from pillarbox.pop3d.protocol import replies
from tests.feeding import splits
from tests.pop3.languages import LANGUAGES

ERROR_LIMIT = 10


def mechanisms(tls_active: bool) -> tuple[str, ...]:
    return ("SCRAM-SHA-256", "PLAIN", "LOGIN") if tls_active else ("SCRAM-SHA-256",)


def protocol(*, tls: bool = True, available: bool = True) -> core.Authorization:
    return core.Authorization(tls_available=available, tls_active=tls, mechanisms=mechanisms, error_limit=ERROR_LIMIT)


def run(machine: core.Authorization, pieces: Iterable[bytes]) -> list[core.Action]:
    actions = []
    for piece in pieces:
        machine.feed(piece)
        while (action := machine.next_action()) is not None:
            actions.append(action)
    return actions


def sent(actions: list[core.Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, (core.Reply, core.Close)))


def test_user_and_pass_ask_for_the_password_check_however_they_arrive() -> None:
    for pieces in splits(b"USER ann\r\nPASS  two words \r\n"):
        actions = run(protocol(), pieces)
        assert actions == [core.Reply(replies.USER_OK), core.CheckPassword("ann", " two words ")], pieces


def test_a_bare_line_feed_ends_a_line_too() -> None:
    assert run(protocol(), [b"USER ann\nPASS pw\n"])[-1] == core.CheckPassword("ann", "pw")


def test_nothing_is_read_while_the_password_is_checked() -> None:
    machine = protocol()
    actions = run(machine, [b"USER ann\r\nPASS pw\r\nSTAT\r\nQUIT\r\n"])
    assert actions[-1] == core.CheckPassword("ann", "pw")
    assert machine.accepted() == b"STAT\r\nQUIT\r\n", "what was sent ahead belongs to the session"
    assert machine.next_action() is None


def test_after_a_refusal_the_next_commands_are_read() -> None:
    machine = protocol()
    run(machine, [b"USER ann\r\nPASS pw\r\nPASS again\r\n"])
    assert machine.refused(replies.AUTHENTICATION_FAILED, last=False) == core.Reply(replies.AUTHENTICATION_FAILED)
    assert machine.next_action() == core.Reply(replies.NO_USER)


def test_the_last_wrong_password_ends_the_connection() -> None:
    machine = protocol()
    run(machine, [b"USER ann\r\nPASS pw\r\n"])
    assert isinstance(machine.refused(replies.AUTHENTICATION_FAILED, last=True), core.Close)
    assert run(machine, [b"CAPA\r\n"]) == []


def test_what_was_no_login_counts_as_an_error() -> None:
    machine = core.Authorization(tls_available=True, tls_active=True, mechanisms=mechanisms, error_limit=2)
    run(machine, [b"AUTH CRAM-MD5\r\n"])
    assert isinstance(machine.declined(replies.NO_MECHANISM), core.Reply)
    run(machine, [b"AUTH CRAM-MD5\r\n"])
    assert isinstance(machine.declined(replies.NO_MECHANISM), core.Close)


def test_without_auth_the_client_is_asked_to_come_back() -> None:
    machine = core.Authorization(tls_available=True, tls_active=True, mechanisms=lambda _: (), error_limit=10)
    assert run(machine, [b"USER ann\r\n"]) == [core.Reply(replies.AUTHENTICATION_UNAVAILABLE)]


def test_passwords_are_not_taken_without_tls() -> None:
    actions = run(protocol(tls=False), [b"USER ann\r\nPASS pw\r\n"])
    assert actions == [core.Reply(replies.CLEAR_TEXT_REFUSED)] * 2


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"PASS pw", replies.NO_USER),
        (b"USER", replies.BAD_ARGUMENTS),
        (b"USER \xff", replies.BAD_ARGUMENTS),
        (b"USER a\0b", replies.BAD_ARGUMENTS),
        (b"STAT", replies.WRONG_STATE),
        (b"RETR 1", replies.WRONG_STATE),
        (b"APOP ann c4c9334bac560ecc979e58001b3e22fb", replies.APOP_REFUSED),
        (b"", replies.UNKNOWN_COMMAND),
        (b"EHLO me", replies.UNKNOWN_COMMAND),
        (b"\xff\xfe", replies.UNKNOWN_COMMAND),
        (b"CAPA please", replies.BAD_ARGUMENTS),
        (b"STLS now", replies.BAD_ARGUMENTS),
        (b"STLS", replies.TLS_ACTIVE),
        (b"UTF8 x", replies.BAD_ARGUMENTS),
        (b"AUTH PLAIN a b", replies.BAD_ARGUMENTS),
        (b"AUTH PLAIN !", replies.BAD_RESPONSE),
        (b"X" * 2000, replies.LINE_TOO_LONG),
        (b"GET / HTTP/1.1", replies.UNKNOWN_COMMAND),
    ],
)
def test_wrong_input_gets_its_answer(line: bytes, reply: bytes) -> None:
    for pieces in splits(line + b"\r\n"):
        assert run(protocol(), pieces) == [core.Reply(reply)]


def test_the_tail_of_an_overlong_line_is_no_command() -> None:
    assert run(protocol(), [b"X" * 5000, b"Y" * 5000, b"\r\nQUIT\r\n"]) == [
        core.Reply(replies.LINE_TOO_LONG),
        core.Close(replies.QUIT_UNAUTHENTICATED),
    ]


def test_a_client_that_does_not_speak_pop3_is_dismissed() -> None:
    actions = run(protocol(), [b"HELO\r\n" * 100])
    assert len(actions) == ERROR_LIMIT
    assert actions[-1] == core.Close(replies.TOO_MANY_ERRORS)


def test_capabilities_before_tls_show_stls_and_no_user() -> None:
    lines = sent(run(protocol(tls=False), [b"CAPA\r\n"])).split(b"\r\n")
    assert b"STLS" in lines
    assert b"USER" not in lines
    assert b"SASL SCRAM-SHA-256" in lines
    assert lines[-2:] == [b".", b""]


def test_capabilities_under_tls_show_user_and_no_stls() -> None:
    lines = sent(run(protocol(), [b"capa\r\n"])).split(b"\r\n")
    assert b"STLS" not in lines
    for capability in (b"USER", b"SASL SCRAM-SHA-256 PLAIN LOGIN", b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES"):
        assert capability in lines


def test_stls_throws_away_what_was_sent_before_the_handshake() -> None:
    for pieces in splits(b"STLS\r\nUSER evil\r\n"):
        machine = protocol(tls=False)
        assert run(machine, pieces) == [core.StartTls(replies.BEGIN_TLS)]
        machine.tls_started()
        assert machine.tls_active
        assert machine.next_action() is None
        assert run(machine, [b"PASS pw\r\n"]) == [core.Reply(replies.NO_USER)]


def test_stls_without_certificate_is_refused() -> None:
    assert run(protocol(tls=False, available=False), [b"STLS\r\n"]) == [core.Reply(replies.TLS_UNAVAILABLE)]


def test_tls_forgets_the_user() -> None:
    machine = core.Authorization(tls_available=True, tls_active=False, mechanisms=lambda _: ("PLAIN",), error_limit=10)
    run(machine, [b"USER ann\r\nSTLS\r\n"])
    machine.tls_started()
    assert run(machine, [b"PASS pw\r\n"]) == [core.Reply(replies.NO_USER)]


def test_auth_with_initial_response_begins_an_exchange() -> None:
    line = b"AUTH plain " + base64.b64encode(b"\0ann\0pw") + b"\r\n"
    for pieces in splits(line):
        assert run(protocol(), pieces) == [core.BeginExchange("plain", b"\0ann\0pw")]


def test_auth_with_an_equal_sign_has_an_empty_initial_response() -> None:
    assert run(protocol(), [b"AUTH PLAIN =\r\n"]) == [core.BeginExchange("PLAIN", b"")]


def test_an_exchange_goes_on_with_challenges() -> None:
    machine = protocol()
    assert run(machine, [b"AUTH LOGIN\r\n"]) == [core.BeginExchange("LOGIN", None)]
    assert machine.challenge(b"Username:") == b"+ VXNlcm5hbWU6\r\n"
    assert run(machine, [b"YW5u\r\n"]) == [core.ContinueExchange(b"ann")]
    machine.challenge(b"Password:")
    assert run(machine, [b"\r\n"]) == [core.ContinueExchange(b"")]


def test_a_star_aborts_the_exchange_and_commands_go_on() -> None:
    machine = protocol()
    run(machine, [b"AUTH LOGIN\r\n"])
    machine.challenge(b"Username:")
    assert run(machine, [b"*\r\nQUIT\r\n"]) == [
        core.AbortExchange(replies.AUTHENTICATION_ABORTED),
        core.Close(replies.QUIT_UNAUTHENTICATED),
    ]


def test_a_response_that_is_no_base64_ends_the_exchange() -> None:
    machine = protocol()
    run(machine, [b"AUTH LOGIN\r\n"])
    machine.challenge(b"")
    assert run(machine, [b"!!\r\n"]) == [core.AbortExchange(replies.BAD_RESPONSE)]


def test_a_response_of_the_limit_is_taken_and_a_longer_one_refused() -> None:
    for length, kind in ((RESPONSE_LIMIT, core.ContinueExchange), (RESPONSE_LIMIT + 4, core.AbortExchange)):
        machine = protocol()
        run(machine, [b"AUTH LOGIN\r\n"])
        machine.challenge(b"")
        [action] = run(machine, [b"A" * length + b"\r\n"])
        assert isinstance(action, kind), length


def test_auth_alone_lists_the_mechanisms() -> None:
    assert sent(run(protocol(), [b"AUTH\r\n"])) == (
        b"+OK List of mechanisms follows\r\nSCRAM-SHA-256\r\nPLAIN\r\nLOGIN\r\n.\r\n"
    )


def test_secrets_do_not_show() -> None:
    assert "pw" not in repr(core.CheckPassword("ann", "pw"))
    assert "pw" not in repr(core.BeginExchange("PLAIN", b"pw"))
    assert "pw" not in repr(core.ContinueExchange(b"pw"))


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_input_gets_answers_that_are_lines(pieces: list[bytes]) -> None:
    machine = protocol()
    for action in run(machine, pieces):
        if isinstance(action, (core.Reply, core.Close)):
            assert action.data.startswith((b"+OK ", b"-ERR "))
            assert action.data.endswith(b"\r\n")


@pytest.mark.parametrize(("line", "answer"), LANGUAGES)
def test_the_language_is_english(line: bytes, answer: bytes) -> None:
    """RFC 6856 section 3.3."""
    for pieces in splits(line + b"\r\n"):
        assert sent(run(protocol(), pieces)).startswith(answer)
