"""PLAIN (RFC 4616): `[authzid] NUL authcid NUL passwd` in one message."""

from __future__ import annotations

from pillarbox.lib.sasl.events import Accepted, Event, Rejected, VerifyPassword
from pillarbox.lib.sasl.server.mechanism import ServerMechanism


class PlainServer(ServerMechanism):
    """One exchange of PLAIN."""

    name = "PLAIN"
    clear_text = True

    def __init__(self) -> None:
        self._username = self._authzid = ""

    def receive(self, response: bytes) -> Event:
        """Take the one message."""
        try:
            parts = response.decode("utf-8").split("\0")
        except UnicodeDecodeError:
            return Rejected("malformed", "PLAIN message is not UTF-8")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            return Rejected("malformed", "PLAIN message is not authzid NUL authcid NUL password")
        self._authzid, self._username, password = parts
        return VerifyPassword(self._username, password, self._authzid)

    def verified(self, correct: bool) -> Event:
        """The verdict is the outcome."""
        if not correct:
            return Rejected("credentials", "authentication failed", self._username)
        return Accepted(self._username, self._authzid)
