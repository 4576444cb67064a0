"""The clear-text mechanisms, server and client side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import MECHANISMS, Accepted, Rejected, Send, VerifyPassword, client_mechanism, server_mechanism
from pillarbox.lib.sasl.client import Credentials, MechanismFailed
from pillarbox.lib.sasl.server import ServerMechanism
from tests.feeding import truncations, with_trailing

ANN = Credentials("ann@example.com", "s3cret")


def server(name: str) -> ServerMechanism:
    mechanism = server_mechanism(name)
    assert mechanism is not None
    return mechanism


def test_plain_with_initial_response_asks_for_the_password_check() -> None:
    assert server("plain").start(b"\0ann@example.com\0s3cret") == VerifyPassword("ann@example.com", "s3cret")


def test_plain_without_initial_response_gets_an_empty_challenge_first() -> None:
    mechanism = server("PLAIN")
    assert mechanism.start(None) == Send(b"")
    assert mechanism.receive(b"boss\0ann\0pw") == VerifyPassword("ann", "pw", "boss")


def test_the_verdict_decides() -> None:
    for correct, outcome in (
        (True, Accepted("ann", "")),
        (False, Rejected("credentials", "authentication failed", "ann")),
    ):
        mechanism = server("PLAIN")
        mechanism.start(b"\0ann\0pw")
        assert mechanism.verified(correct) == outcome


@pytest.mark.parametrize(
    "message", [b"", b"\0", b"\0\0", b"ann", b"\0ann", b"\0ann\0", b"\0\0pw", b"\0a\0b\0c", b"\0\xff\0pw"]
)
def test_plain_refuses_what_is_not_three_parts(message: bytes) -> None:
    event = server("PLAIN").start(message)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


def test_plain_cut_short_or_with_more_behind_is_never_the_same_login() -> None:
    message = b"\0ann\0pw"
    for other in (*truncations(message), *with_trailing(message)):
        assert server("PLAIN").start(other) != VerifyPassword("ann", "pw")


def test_login_asks_for_name_and_password() -> None:
    mechanism = server("LOGIN")
    assert mechanism.start(None) == Send(b"Username:")
    assert mechanism.receive(b"ann") == Send(b"Password:")
    assert mechanism.receive(b"pw") == VerifyPassword("ann", "pw")
    assert mechanism.verified(True) == Accepted("ann")


def test_login_takes_an_initial_response_as_the_name() -> None:
    assert server("LOGIN").start(b"ann") == Send(b"Password:")


@pytest.mark.parametrize("response", [b"", b"a\0b", b"\xff"])
def test_login_refuses_empty_nul_and_bytes(response: bytes) -> None:
    for mechanism, feed in ((server("LOGIN"), (response,)), (server("LOGIN"), (b"ann", response))):
        mechanism.start(None)
        event = None
        for one in feed:
            event = mechanism.receive(one)
        assert isinstance(event, Rejected)
        assert event.kind == "malformed"


def test_client_and_server_of_each_clear_text_mechanism_agree() -> None:
    for name in ("PLAIN", "LOGIN"):
        client, mechanism = client_mechanism(name, ANN), server(name)
        assert client is not None
        event = mechanism.start(client.initial())
        while isinstance(event, Send):
            event = mechanism.receive(client.respond(event.data))
        assert event == VerifyPassword("ann@example.com", "s3cret"), name
        client.finish()


def test_login_client_answers_only_twice() -> None:
    client = client_mechanism("LOGIN", ANN)
    assert client is not None
    client.respond(b"Username:")
    client.respond(b"Password:")
    with pytest.raises(MechanismFailed):
        client.respond(b"And your pet's name?")


def test_unknown_mechanism_is_none() -> None:
    assert server_mechanism("X-OTHER") is None
    assert client_mechanism("X-OTHER", ANN) is None


def test_credentials_do_not_show_the_password() -> None:
    assert "s3cret" not in repr(ANN)


@given(st.sampled_from(sorted(MECHANISMS)), st.binary(max_size=80))
def test_any_first_message_gets_an_event(name: str, message: bytes) -> None:
    server(name).start(message)
