"""EXTERNAL (RFC 4422 appendix A): the client has proved who it is below SASL, by its TLS certificate.

The one message is the authorization identity; empty asks for the identity that goes with the certificate.
"""

from __future__ import annotations

from pillarbox.lib.sasl.events import Accepted, Event, Rejected, VerifyCertificate
from pillarbox.lib.sasl.server.mechanism import ServerMechanism


class ExternalServer(ServerMechanism):
    """One exchange of EXTERNAL."""

    name = "EXTERNAL"
    clear_text = False

    def __init__(self) -> None:
        self._authzid = ""

    def receive(self, response: bytes) -> Event:
        """Take the one message: UTF-8 without NUL."""
        try:
            self._authzid = response.decode("utf-8")
        except UnicodeDecodeError:
            return Rejected("malformed", "EXTERNAL message is not UTF-8")
        if "\0" in self._authzid:
            return Rejected("malformed", "EXTERNAL message holds NUL")
        return VerifyCertificate(self._authzid)

    def certified(self, username: str) -> Event:
        """Whom the certificate stands for is the outcome."""
        if not username:
            return Rejected("credentials", "authentication failed", self._authzid)
        return Accepted(username, self._authzid)
