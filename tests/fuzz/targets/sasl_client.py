"""Whole exchanges of every SASL mechanism as a client: lines of challenges as they are behind the base64."""

from __future__ import annotations

from pillarbox.lib.sasl.client import MECHANISMS, ClientChannel, Credentials, MechanismFailed
from pillarbox.lib.sasl.client.scram import ScramClient

_CHANNEL = ClientChannel("tls-exporter", b"binding", True)
_MANY_HASHES = b"i=4096"


def fuzz(data: bytes) -> None:
    """The first octet chooses the mechanism, lines are challenges; a password in them stays where it is, and a server
    that knows none is not believed by a mechanism that asks for a proof."""
    names = sorted(MECHANISMS)
    kind = MECHANISMS[names[data[0] % len(names)] if data else names[0]]
    mechanism = kind(Credentials("ann", "secret", bearer=kind.bearer), _CHANNEL)
    try:
        mechanism.initial()
        for challenge in data[1:].split(b"\n")[:4]:
            if issubclass(kind, ScramClient) and b"i=" in challenge and _MANY_HASHES not in challenge:
                return  # millions of hashes are what is waited for, not what is tested
            response = mechanism.respond(challenge)
            assert kind.clear_text or b"secret" not in response.replace(challenge, b"")
        mechanism.finish()
    except MechanismFailed:
        return
    assert not kind.mutual, f"{mechanism.name} believes a server that knows no password"
