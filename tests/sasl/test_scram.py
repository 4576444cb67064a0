"""SCRAM-SHA-256: the example of RFC 7677 section 3, both sides against each other, and what must be refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import Accepted, FetchScramKeys, Rejected, ScramKeys, Send, make_scram_keys
from pillarbox.lib.sasl.client import Credentials, MechanismFailed
from pillarbox.lib.sasl.client.scram import ScramSha256Client
from pillarbox.lib.sasl.events import Event
from pillarbox.lib.sasl.server.scram_sha_256 import ScramSha256Server
from tests.feeding import truncations, with_trailing

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
KEYS = make_scram_keys("pencil", SALT, 4096)
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def example_server() -> ScramSha256Server:
    return ScramSha256Server(lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")


def example_client(password: str = "pencil") -> ScramSha256Client:
    return ScramSha256Client(Credentials("user", password), make_nonce=lambda: "rOprNGfwEbeRWgbNEkqO")


def run(client: ScramSha256Client, server: ScramSha256Server, keys: ScramKeys) -> Event:
    event = server.start(client.initial())
    while True:
        match event:
            case Send():
                event = server.receive(client.respond(event.data))
            case FetchScramKeys():
                event = server.keys(keys)
            case _:
                return event


def test_server_speaks_the_rfc_example() -> None:
    server = example_server()
    assert server.start(CLIENT_FIRST) == FetchScramKeys("user")
    assert server.keys(KEYS) == Send(SERVER_FIRST)
    assert server.receive(CLIENT_FINAL) == Send(SERVER_FINAL)
    assert server.receive(b"") == Accepted("user")


def test_client_speaks_the_rfc_example() -> None:
    client = example_client()
    assert client.initial() == CLIENT_FIRST
    assert client.respond(SERVER_FIRST) == CLIENT_FINAL
    assert client.respond(SERVER_FINAL) == b""
    client.finish()


def test_a_wrong_password_is_refused() -> None:
    assert run(example_client("pencils"), example_server(), KEYS) == Rejected(
        "credentials", "authentication failed", "user"
    )


def test_names_with_commas_and_equal_signs_arrive() -> None:
    client = ScramSha256Client(Credentials("a,b=c", "pw", authzid="x=,y"))
    keys = make_scram_keys("pw", b"salt", 4096)
    assert run(client, ScramSha256Server(), keys) == Accepted("a,b=c", "x=,y")


def test_nonces_differ_between_exchanges() -> None:
    first, second = ScramSha256Server(), ScramSha256Server()
    first.start(CLIENT_FIRST)
    second.start(CLIENT_FIRST)
    assert first.keys(KEYS) != second.keys(KEYS)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"x,,n=user,r=abc",
        b"n,b=x,n=user,r=abc",
        b"n,a=,n=user,r=abc",
        b"n,,m=ext,n=user,r=abc",
        b"n,,r=abc,n=user",
        b"n,,n=,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=us\0er,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=user",
        b"n,,user,abc",
    ],
)
def test_a_malformed_first_message_is_refused(message: bytes) -> None:
    event = ScramSha256Server().start(message)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


def test_demanded_channel_binding_is_refused() -> None:
    event = ScramSha256Server().start(b"p=tls-unique,,n=user,r=abc")
    assert isinstance(event, Rejected)
    assert event.kind == "credentials"


def test_a_client_that_could_bind_channels_is_welcome() -> None:
    assert isinstance(ScramSha256Server().start(b"y,,n=user,r=abc"), FetchScramKeys)


def at_final() -> ScramSha256Server:
    server = example_server()
    server.start(CLIENT_FIRST)
    server.keys(KEYS)
    return server


def test_a_final_message_for_another_exchange_is_refused() -> None:
    for changed in (
        CLIENT_FINAL.replace(b"c=biws", b"c=eSws"),  # "y,," instead of "n,,"
        CLIENT_FINAL.replace(b"k0,p=", b"k1,p="),
        CLIENT_FINAL.replace(b"p=dHz", b"p=eHz"),
        CLIENT_FINAL.replace(b"p=dHzb", b"p="),
    ):
        event = at_final().receive(changed)
        assert isinstance(event, Rejected)
        assert event.kind == "credentials", changed


def test_a_final_message_cut_short_or_prolonged_is_refused() -> None:
    for message in (*truncations(CLIENT_FINAL), *with_trailing(CLIENT_FINAL)):
        assert isinstance(at_final().receive(message), Rejected), message


def test_the_answer_to_the_server_signature_must_be_empty() -> None:
    server = at_final()
    server.receive(CLIENT_FINAL)
    assert isinstance(server.receive(b"x"), Rejected)


@given(st.binary(max_size=200))
def test_any_final_message_but_the_right_one_is_refused(message: bytes) -> None:
    assert isinstance(at_final().receive(message), Rejected)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=c2FsdA==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=c2FsdA==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=1",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=999999999",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=-4096",
        b"s=c2FsdA==,r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        b"e=other-error",
        b"\xff",
    ],
)
def test_client_gives_up_on_a_bad_server_first_message(challenge: bytes) -> None:
    client = example_client()
    client.initial()
    with pytest.raises(MechanismFailed):
        client.respond(challenge)


def test_client_does_not_believe_a_server_without_the_right_signature() -> None:
    for final in (b"v=" + base64.b64encode(bytes(32)), b"e=invalid-proof", b"", b"v=!"):
        client = example_client()
        client.initial()
        client.respond(SERVER_FIRST)
        with pytest.raises(MechanismFailed):
            client.respond(final)
        with pytest.raises(MechanismFailed):
            client.finish()


def test_client_does_not_believe_an_early_success() -> None:
    client = example_client()
    client.initial()
    with pytest.raises(MechanismFailed):
        client.finish()


def test_keys_survive_their_text_form() -> None:
    assert ScramKeys.from_text(KEYS.to_text()) == KEYS
    assert KEYS.to_text().startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")


@pytest.mark.parametrize("text", ["", "x", "SCRAM-SHA-1$4096:c2FsdA==$YQ==:YQ==", "SCRAM-SHA-256$x:c2FsdA==$YQ==:YQ=="])
def test_damaged_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ScramKeys.from_text(text)
