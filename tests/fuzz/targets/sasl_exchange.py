"""Whole exchanges of every SASL mechanism: lines of responses as they are behind the base64."""

from __future__ import annotations

from pillarbox.lib.sasl.events import (
    Accepted,
    FetchScramKeys,
    Rejected,
    Send,
    VerifyCertificate,
    VerifyPassword,
    VerifyToken,
)
from pillarbox.lib.sasl.scram import make_scram_keys
from pillarbox.lib.sasl.server import MECHANISMS, TokenVerdict, server_mechanism

_KEYS = make_scram_keys("secret", b"salt", 4096)


def fuzz(data: bytes) -> None:
    """The first octet chooses the mechanism, lines are responses; nobody gets in without the service's word."""
    names = sorted(MECHANISMS)
    mechanism = server_mechanism(names[data[0] % len(names)] if data else names[0])
    assert mechanism is not None
    for response in data[1:].split(b"\n")[:6]:
        event = mechanism.receive(response)
        if isinstance(event, VerifyPassword):
            assert "\0" not in event.password
            return
        if isinstance(event, VerifyToken):
            event = mechanism.token_verified(TokenVerdict())
        elif isinstance(event, VerifyCertificate):
            event = mechanism.certified("")
        elif isinstance(event, FetchScramKeys):
            event = mechanism.keys(_KEYS)
        if isinstance(event, Accepted):
            raise AssertionError(f"{mechanism.name} accepted {event.username!r}")
        if isinstance(event, Rejected):
            return
        assert isinstance(event, Send)
