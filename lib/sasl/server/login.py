"""LOGIN (draft-murchison-sasl-login): user name and password, each asked for.  Obsolete, but all some clients know."""

from __future__ import annotations

from pillarbox.lib.sasl.events import Accepted, Event, Rejected, Send, VerifyPassword
from pillarbox.lib.sasl.server.mechanism import ServerMechanism

# The draft has "User Name\0" and "Password\0"; clients in use match these words instead.
USERNAME = Send(b"Username:")
PASSWORD = Send(b"Password:")


class LoginServer(ServerMechanism):
    """One exchange of LOGIN."""

    name = "LOGIN"
    clear_text = True

    def __init__(self) -> None:
        self._username = ""

    def start(self, initial: bytes | None) -> Event:
        """An initial response, which the draft does not know but clients send, is the user name."""
        return USERNAME if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> Event:
        """Take the name, then the password."""
        try:
            text = response.decode("utf-8")
        except UnicodeDecodeError:
            return Rejected("malformed", "LOGIN message is not UTF-8", self._username)
        if not text or "\0" in text:
            return Rejected("malformed", "LOGIN message is empty or holds NUL", self._username)
        if not self._username:
            self._username = text
            return PASSWORD
        return VerifyPassword(self._username, text)

    def verified(self, correct: bool) -> Event:
        """The verdict is the outcome."""
        if not correct:
            return Rejected("credentials", "authentication failed", self._username)
        return Accepted(self._username)
