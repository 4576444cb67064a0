"""Client mechanisms against our servers and an independent implementation; which one is chosen; bearer tokens."""

from __future__ import annotations

from typing import Any

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import Accepted, Channel, FetchScramKeys, Rejected, Send, make_scram_keys, server_mechanism
from pillarbox.lib.sasl.client import (
    MECHANISMS,
    UNBOUND,
    ClientChannel,
    ClientMechanism,
    Credentials,
    MechanismFailed,
    suitable,
)
from pillarbox.lib.sasl.events import Event, VerifyToken
from pillarbox.lib.sasl.server import TokenVerdict
from pillarbox.lib.sasl.server.scram_sha_256 import OTHER_CHANNEL, STRIPPED

ANN = Credentials("ann@example.com", "s3cret")
TOKEN = Credentials("ann@example.com", "ya29.vF9dft4qmT", bearer=True)
KEYS = make_scram_keys("s3cret", b"sixteen octets..", 4096)
BOUND = ClientChannel("tls-exporter", b"\x01" * 32, True)
SERVER = Channel({"tls-exporter": (b"\x01" * 32,)}, True)


def test_the_rfc_5802_example_of_sha_1() -> None:
    client = MECHANISMS["SCRAM-SHA-1"](  # section 5
        Credentials("user", "pencil"),
        UNBOUND,
        lambda: "fyko+d2lbbFgONRv9qkxdawL",  # type: ignore[call-arg]
    )
    assert client.initial() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    assert (
        client.respond(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
        == b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    )
    assert client.respond(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=") == b""
    client.finish()


def oracle(name: str, binding: tuple[str, bytes] | None) -> Any:
    mechanism = scramp.ScramMechanism(name)
    auth = mechanism.make_auth_info("s3cret", iteration_count=4096)
    return mechanism.make_server(lambda user: auth, channel_binding=binding)


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_another_implementation_is_content(name: str) -> None:
    binding = ("tls-unique", b"\x01" * 32) if name.endswith("PLUS") else None
    server = oracle(name, binding)
    client = MECHANISMS[name](ANN, ClientChannel(*binding, True) if binding else UNBOUND)
    server.set_client_first((client.initial() or b"").decode())
    server.set_client_final(client.respond(server.get_server_first().encode()).decode())
    assert client.respond(server.get_server_final().encode()) == b""
    client.finish()


def exchange(client: ClientMechanism, channel: Channel) -> Event:
    server = server_mechanism(client.name, channel)
    assert server is not None
    event = server.start(client.initial())
    while isinstance(event, Send | FetchScramKeys):
        event = server.receive(client.respond(event.data)) if isinstance(event, Send) else server.keys(KEYS)
    return event


def test_the_channel_is_bound() -> None:
    assert exchange(MECHANISMS["SCRAM-SHA-256-PLUS"](ANN, BOUND), SERVER) == Accepted("ann@example.com")


def test_a_channel_of_somebody_else_is_noticed() -> None:
    other = ClientChannel("tls-exporter", b"\x02" * 32, True)
    event = exchange(MECHANISMS["SCRAM-SHA-256-PLUS"](ANN, other), SERVER)
    assert event == Rejected("credentials", OTHER_CHANNEL, "ann@example.com")


def test_a_stripped_offer_is_noticed() -> None:
    stripped = ClientChannel("tls-exporter", b"\x01" * 32, False)
    event = exchange(MECHANISMS["SCRAM-SHA-256"](ANN, stripped), SERVER)
    assert event == Rejected("credentials", STRIPPED, "ann@example.com")
    assert exchange(MECHANISMS["SCRAM-SHA-256"](ANN, BOUND), SERVER) == Accepted("ann@example.com")
    assert exchange(MECHANISMS["SCRAM-SHA-256"](ANN, UNBOUND), SERVER) == Accepted("ann@example.com")


class TestTokens:
    @pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
    def test_a_good_one(self, name: str) -> None:
        client, server = MECHANISMS[name](TOKEN), server_mechanism(name)
        assert server is not None
        assert server.start(client.initial()) == VerifyToken(TOKEN.password, "ann@example.com")
        assert server.token_verified(TokenVerdict("ann@example.com")) == Accepted("ann@example.com", "ann@example.com")
        client.finish()

    @pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
    def test_a_refused_one(self, name: str) -> None:
        client, server = MECHANISMS[name](TOKEN), server_mechanism(name)
        assert server is not None
        server.start(client.initial())
        challenge = server.token_verified(TokenVerdict(status="invalid_token"))
        assert isinstance(challenge, Send)
        assert isinstance(server.receive(client.respond(challenge.data)), Rejected)
        with pytest.raises(MechanismFailed):
            client.finish()
        with pytest.raises(MechanismFailed):
            client.respond(b"again")

    @pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
    def test_without_an_initial_response(self, name: str) -> None:
        assert MECHANISMS[name](TOKEN).respond(b"") == MECHANISMS[name](TOKEN).initial()
        with pytest.raises(MechanismFailed):
            MECHANISMS[name](TOKEN).respond(b"who are you?")

    @pytest.mark.parametrize("token", ["", "with space", "with\x01control", "ä"])
    def test_what_is_none(self, token: str) -> None:
        with pytest.raises(MechanismFailed):
            MECHANISMS["XOAUTH2"](Credentials("ann", token, bearer=True)).initial()


def names(
    offered: list[str], credentials: Credentials = ANN, *, clear: bool = True, bindable: bool = False
) -> list[str]:
    permits = lambda mechanism: clear or not mechanism.clear_text  # noqa: E731
    return [one.name for one in suitable(offered, credentials, permits, bindable=bindable)]


def test_the_strongest_that_suits() -> None:
    offered = ["LOGIN", "PLAIN", "scram-sha-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "GSSAPI"]
    assert names(offered) == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    assert names(offered, bindable=True)[0] == "SCRAM-SHA-256-PLUS"
    assert names(offered, clear=False) == ["SCRAM-SHA-256"]
    assert names(["PLAIN", "LOGIN"], clear=False) == []
    assert names(offered, TOKEN) == ["XOAUTH2"]
    assert names(["PLAIN"], TOKEN) == []


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(ANN)
    assert "x01" not in repr(BOUND)


@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(max_size=80), max_size=4))
def test_any_challenge_is_answered_or_ends_the_exchange(name: str, challenges: list[bytes]) -> None:
    client = MECHANISMS[name](TOKEN if MECHANISMS[name].bearer else ANN, BOUND)
    client.initial()
    try:
        for challenge in challenges:
            assert isinstance(client.respond(challenge), bytes)
        client.finish()
    except MechanismFailed:
        pass
