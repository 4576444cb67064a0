"""PLAIN (RFC 4616) as a client."""

from __future__ import annotations

from pillarbox.lib.sasl.client.mechanism import ClientMechanism, MechanismFailed


class PlainClient(ClientMechanism):
    """One exchange of PLAIN."""

    name = "PLAIN"
    clear_text = True

    def initial(self) -> bytes:
        """The one message."""
        mine = self.credentials
        return f"{mine.authzid}\0{mine.username}\0{mine.password}".encode()

    def respond(self, challenge: bytes) -> bytes:
        """An empty challenge asks for the message where no initial response was sent."""
        if challenge:
            raise MechanismFailed("PLAIN knows no challenge")
        return self.initial()
