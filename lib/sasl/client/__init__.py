"""Client mechanisms by name, and the choice among those that a server offers."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.sasl.client.login import LoginClient
from pillarbox.lib.sasl.client.mechanism import ClientMechanism, Credentials, MechanismFailed
from pillarbox.lib.sasl.client.plain import PlainClient
from pillarbox.lib.sasl.client.scram_sha_256 import ScramSha256Client

MECHANISMS: dict[str, type[ClientMechanism]] = {
    mechanism.name: mechanism for mechanism in (ScramSha256Client, PlainClient, LoginClient)
}
"""Strongest first."""


def client_mechanism(name: str, credentials: Credentials) -> ClientMechanism | None:
    """A fresh exchange of the mechanism with this name (any case), None when there is no such."""
    mechanism = MECHANISMS.get(name.upper())
    return mechanism(credentials) if mechanism else None


def choose(offered: Iterable[str], credentials: Credentials, *, clear_text: bool) -> ClientMechanism | None:
    """The strongest mechanism among `offered`; those that show the password only where `clear_text` permits it."""
    names = {name.upper() for name in offered}
    for name, mechanism in MECHANISMS.items():
        if name in names and (clear_text or not mechanism.clear_text):
            return mechanism(credentials)
    return None


__all__ = ["MECHANISMS", "ClientMechanism", "Credentials", "MechanismFailed", "choose", "client_mechanism"]
