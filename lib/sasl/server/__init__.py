"""Server mechanisms by name.  A new mechanism is a module here and a row in `MECHANISMS`."""

from __future__ import annotations

from pillarbox.lib.sasl.server.external import ExternalServer
from pillarbox.lib.sasl.server.login import LoginServer
from pillarbox.lib.sasl.server.mechanism import PLAIN_CHANNEL, Channel, ServerMechanism, TokenVerdict
from pillarbox.lib.sasl.server.oauthbearer import OAuthBearerServer, XOAuth2Server
from pillarbox.lib.sasl.server.plain import PlainServer
from pillarbox.lib.sasl.server.scram_sha_256 import ScramSha256PlusServer, ScramSha256Server

MECHANISMS: dict[str, type[ServerMechanism]] = {
    mechanism.name: mechanism
    for mechanism in (
        ScramSha256PlusServer,
        ScramSha256Server,
        ExternalServer,
        OAuthBearerServer,
        XOAuth2Server,
        PlainServer,
        LoginServer,
    )
}
"""Strongest first: the order in which they are advertised."""


def server_mechanism(name: str, channel: Channel = PLAIN_CHANNEL) -> ServerMechanism | None:
    """A fresh exchange of the mechanism with this name (any case), None when there is no such."""
    mechanism = MECHANISMS.get(name.upper())
    return mechanism.over(channel) if mechanism else None


__all__ = ["MECHANISMS", "PLAIN_CHANNEL", "Channel", "ServerMechanism", "TokenVerdict", "server_mechanism"]
