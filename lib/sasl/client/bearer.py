"""OAUTHBEARER (RFC 7628) and XOAUTH2, the older form of the same that no RFC defines: a token in place of a password.

A refusal comes as a challenge with the reason, in JSON, which is answered with one octet; then the exchange fails.
"""

from __future__ import annotations

import re

from pillarbox.lib.sasl import scram
from pillarbox.lib.sasl.client.mechanism import UNBOUND, ClientChannel, ClientMechanism, Credentials, MechanismFailed

SEPARATOR = "\x01"

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # b64token, RFC 6750 section 2.1


class OAuthBearerClient(ClientMechanism):
    """One exchange of OAUTHBEARER."""

    name = "OAUTHBEARER"
    clear_text = True
    bearer = True
    LAST_WORD = SEPARATOR.encode()

    def __init__(self, credentials: Credentials, channel: ClientChannel = UNBOUND) -> None:
        super().__init__(credentials, channel)
        self._said = False
        self.refusal = ""
        """The reason that the server gave, if it did."""

    def initial(self) -> bytes:
        """The one message."""
        if not _TOKEN.fullmatch(self.credentials.password):
            raise MechanismFailed("the token is no bearer token (RFC 6750 section 2.1)")
        self._said = True
        return self._message()

    def _message(self) -> bytes:
        name = scram.escape_name(self.credentials.username)
        return f"n,a={name},{SEPARATOR}auth=Bearer {self.credentials.password}{SEPARATOR * 2}".encode()

    def respond(self, challenge: bytes) -> bytes:
        """The message where no initial response was sent; else the last word after a refusal."""
        if not self._said:
            if challenge:
                raise MechanismFailed(f"{self.name} does not begin with a challenge")
            return self.initial()
        if self.refusal:
            raise MechanismFailed(f"{self.name} message out of turn")
        self.refusal = challenge.decode("utf-8", "replace")[:500] or "no reason was given"
        return self.LAST_WORD

    def finish(self) -> None:
        """A token that was refused can't be good."""
        if self.refusal:
            raise MechanismFailed("the server accepts the token that it has refused")


class XOAuth2Client(OAuthBearerClient):
    """One exchange of XOAUTH2."""

    name = "XOAUTH2"
    LAST_WORD = b""

    def _message(self) -> bytes:
        name = self.credentials.username
        if SEPARATOR in name:
            raise MechanismFailed("a control character in the user name")
        return f"user={name}{SEPARATOR}auth=Bearer {self.credentials.password}{SEPARATOR * 2}".encode()
