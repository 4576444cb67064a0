"""SCRAM-SHA-256-PLUS: an independent client (scramp) on the same channel, and everybody in the middle."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import scramp

from pillarbox.lib.sasl import (
    Accepted,
    Channel,
    Event,
    FetchScramKeys,
    Rejected,
    Send,
    make_scram_keys,
    server_mechanism,
)
from pillarbox.lib.sasl.scram import ScramKeys, digest, mac, salted_password, xor
from pillarbox.lib.sasl.server.scram_sha_256 import OTHER_CHANNEL, STRIPPED, UNKNOWN_BINDING

PLUS = "SCRAM-SHA-256-PLUS"
KEYS = make_scram_keys("pencil", b"sixteen octets..", 4096)
BOUND = Channel({"tls-server-end-point": (b"\x01" * 32, b"\x02" * 32), "tls-unique": (b"\x03" * 32,)}, True)


def oracle(password: str = "pencil", binding: tuple[str, bytes] | None = None) -> Any:
    return scramp.ScramClient([PLUS if binding else "SCRAM-SHA-256"], "user", password, channel_binding=binding)


def run(client: Any, name: str, channel: Channel, keys: ScramKeys | list[ScramKeys] = KEYS) -> Event:
    """A whole exchange with the oracle as the client; it checks the server's signature."""
    server = server_mechanism(name, channel)
    assert server is not None
    event = server.start(client.get_client_first().encode())
    if isinstance(event, FetchScramKeys):
        event = server.keys(keys)
    if isinstance(event, Send):
        client.set_server_first(event.data.decode())
        event = server.receive(client.get_client_final().encode())
    if isinstance(event, Send):
        client.set_server_final(event.data.decode())
        event = server.receive(b"")
    return event


@pytest.mark.parametrize(
    "binding",
    [
        ("tls-server-end-point", b"\x01" * 32),
        ("tls-server-end-point", b"\x02" * 32),  # the server has two certificates and does not know which it showed
        ("tls-unique", b"\x03" * 32),
    ],
)
def test_another_implementation_binds_the_channel(binding: tuple[str, bytes]) -> None:
    assert run(oracle(binding=binding), PLUS, BOUND) == Accepted("user")


def test_another_implementation_works_without_binding() -> None:
    assert run(oracle(), "SCRAM-SHA-256", Channel()) == Accepted("user")
    assert run(oracle(), "SCRAM-SHA-256", BOUND) == Accepted("user"), "n: the client cannot bind"


def test_a_wrong_password_is_refused_on_the_right_channel() -> None:
    client = oracle("pencils", ("tls-unique", b"\x03" * 32))
    assert run(client, PLUS, BOUND) == Rejected("credentials", "authentication failed", "user")


def test_somebody_in_the_middle_is_noticed() -> None:
    client = oracle(binding=("tls-server-end-point", b"\x09" * 32))
    assert run(client, PLUS, BOUND) == Rejected("credentials", OTHER_CHANNEL, "user")


def test_data_of_one_type_is_no_proof_for_another() -> None:
    client = oracle(binding=("tls-server-end-point", b"\x03" * 32))
    assert run(client, PLUS, BOUND) == Rejected("credentials", OTHER_CHANNEL, "user")


def first(name: str, flag: bytes, channel: Channel) -> Event:
    server = server_mechanism(name, channel)
    assert server is not None
    return server.start(flag + b",,n=user,r=abc")


def test_a_binding_that_is_not_offered_is_refused() -> None:
    assert first(PLUS, b"p=tls-exporter", BOUND) == Rejected("credentials", UNKNOWN_BINDING, "user")


@pytest.mark.parametrize("flag", [b"n", b"y"])
def test_plus_without_binding_is_refused(flag: bytes) -> None:
    event = first(PLUS, flag, BOUND)
    assert isinstance(event, Rejected)
    assert event.kind == "credentials"


def test_a_client_that_was_told_of_no_binding_where_it_was_offered_has_been_lied_to() -> None:
    """RFC 5802 section 6: `y` with a server that offered -PLUS is a downgrade attack."""
    assert first("SCRAM-SHA-256", b"y", BOUND) == Rejected("credentials", STRIPPED, "user")
    assert isinstance(first("SCRAM-SHA-256", b"y", Channel()), FetchScramKeys)


def test_binding_in_the_mechanism_without_it_is_refused() -> None:
    event = first("SCRAM-SHA-256", b"p=tls-unique", BOUND)
    assert isinstance(event, Rejected)
    assert event.kind == "credentials"


@pytest.mark.parametrize("flag", [b"p=", b"p", b"p=a b", b"p=\xff", b"P=tls-unique", b"p=" + b"x" * 65, b"", b"z"])
def test_a_malformed_flag_is_refused(flag: bytes) -> None:
    event = first(PLUS, flag, BOUND)
    assert isinstance(event, Rejected)
    assert event.kind == "malformed"


def test_the_flag_that_was_sent_is_the_flag_that_is_signed() -> None:
    """Somebody who turns `p=` into `n` on the way must change `c=` as well, and that is signed."""
    server = server_mechanism("SCRAM-SHA-256", BOUND)
    assert server is not None
    assert isinstance(server.start(b"n,,n=user,r=abc"), FetchScramKeys)
    event = server.keys(KEYS)
    assert isinstance(event, Send)
    nonce = event.data.split(b",")[0][2:]
    for sent in (b"p=tls-unique,," + b"\x03" * 32, b"y,,"):
        without_proof = b"c=" + base64.b64encode(sent) + b",r=" + nonce
        signed = b",".join((b"n=user,r=abc", event.data, without_proof))
        client_key = mac(salted_password("pencil", KEYS.salt, 4096), b"Client Key")
        proof = xor(client_key, mac(digest(client_key), signed))
        answer = server.receive(without_proof + b",p=" + base64.b64encode(proof))
        assert answer == Rejected("credentials", "authentication failed", "user")


def test_each_of_several_keys_is_as_good_and_the_right_one_is_named() -> None:
    keys = [make_scram_keys(password, KEYS.salt, KEYS.iterations) for password in ("a", "pencil", "b")]
    assert run(oracle(), "SCRAM-SHA-256", Channel(), keys) == Accepted("user", key=1)
    assert run(oracle("b"), "SCRAM-SHA-256", Channel(), keys) == Accepted("user", key=2)
    assert isinstance(run(oracle("c"), "SCRAM-SHA-256", Channel(), keys), Rejected)
