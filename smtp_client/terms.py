"""What a message asks of a connection: one that was made on other terms does not carry it.

A connection is kept together with its terms.  Those that depend on the server (its certificate, a login there) are
looked at where the server is known, in `connector`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.tls_policy import TlsPolicy


@dataclass(frozen=True, slots=True)
class Terms:
    """`tls` is the TLS policy of the destination; `sources` are the local addresses, IPv4 and IPv6, "" for any; `helo`
    is our name.

    `strict`: where a source cannot be used there is no connection from another one.  `exclusive`: nor is there one to a
    family that has no source.
    """

    tls: TlsPolicy
    sources: tuple[str, str] = ("", "")
    helo: str = ""
    strict: bool = False
    exclusive: bool = False

    @classmethod
    def of_service(cls, tls: TlsPolicy, settings: Settings) -> Terms:
        """Those of a request that has no addresses and no name of its own."""
        return cls(tls, settings.bind_addresses, settings.helo_name, settings.bind_enforce)

    def source(self, server: Server) -> str:
        """The local address for connections to a server, "" for any."""
        return "" if server.path else self.sources[":" in server.address]

    def reaches(self, server: Server) -> bool:
        """Whether a server may be connected to at all."""
        return not self.exclusive or bool(server.path) or self.source(server) != ""

    def fulfilled_by(self, made: Terms) -> bool:
        """Whether a connection that was made on other terms may carry the message."""
        if made is self:
            return True
        return self.tls.satisfied_by(made.tls) and made.sources == self.sources and made.helo == self.helo


def terms_of(request: DeliveryRequest, tls: TlsPolicy, settings: Settings) -> Terms:
    """The terms of a request; without addresses of its own they are those of the service."""
    if not request.sources:
        return Terms(tls, settings.bind_addresses, request.helo or settings.helo_name, settings.bind_enforce)
    old = next((address for address in request.sources if ":" not in address), "")
    new = next((address for address in request.sources if ":" in address), "")
    return Terms(tls, (old, new), request.helo or settings.helo_name, strict=True, exclusive=True)
