"""Client mechanisms by name, and the choice among those that a server offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pillarbox.lib.sasl.client.bearer import OAuthBearerClient, XOAuth2Client
from pillarbox.lib.sasl.client.login import LoginClient
from pillarbox.lib.sasl.client.mechanism import UNBOUND, ClientChannel, ClientMechanism, Credentials, MechanismFailed
from pillarbox.lib.sasl.client.plain import PlainClient
from pillarbox.lib.sasl.client.scram import (
    ScramSha1Client,
    ScramSha1PlusClient,
    ScramSha256Client,
    ScramSha256PlusClient,
)

MECHANISMS: dict[str, type[ClientMechanism]] = {
    mechanism.name: mechanism
    for mechanism in (
        ScramSha256PlusClient,
        ScramSha256Client,
        ScramSha1PlusClient,
        ScramSha1Client,
        PlainClient,
        LoginClient,
        OAuthBearerClient,
        XOAuth2Client,
    )
}
"""Strongest first."""

Permit = Callable[[type[ClientMechanism]], bool]


def client_mechanism(name: str, credentials: Credentials) -> ClientMechanism | None:
    """A fresh exchange of the mechanism with this name (any case), None when there is no such."""
    mechanism = MECHANISMS.get(name.upper())
    return mechanism(credentials) if mechanism else None


def suitable(
    offered: Iterable[str], credentials: Credentials, permits: Permit, *, bindable: bool
) -> list[type[ClientMechanism]]:
    """The mechanisms among `offered` that fit the credentials and that `permits` allows, the strongest first.

    `bindable`: the channel has a binding.
    """
    names = {name.upper() for name in offered}
    return [
        mechanism
        for name, mechanism in MECHANISMS.items()
        if name in names
        and mechanism.bearer == credentials.bearer
        and (bindable or not mechanism.binds)
        and permits(mechanism)
    ]


__all__ = [
    "MECHANISMS",
    "UNBOUND",
    "ClientChannel",
    "ClientMechanism",
    "Credentials",
    "MechanismFailed",
    "client_mechanism",
    "suitable",
]
