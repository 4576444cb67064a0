"""OAUTHBEARER (RFC 7628): the client shows a token that an authorization server has given it.

    C: n,a=user@example.com,^Ahost=mx.example.com^Aport=587^Aauth=Bearer vF9dft4qmT...^A^A
    S: {"status":"invalid_token","scope":"mail"}          only where the token is refused
    C: ^A                                                 and then the exchange fails

Whose token it is, and whether it is still good, the service finds out (`VerifyToken`).
"""

from __future__ import annotations

import json
import re

from pillarbox.lib.sasl import scram
from pillarbox.lib.sasl.events import Accepted, Event, Rejected, Send, VerifyToken
from pillarbox.lib.sasl.server.mechanism import ServerMechanism, TokenVerdict

SEPARATOR = "\x01"
"""kvsep, RFC 7628 section 3.1."""

# key = 1*(ALPHA); value = *(VCHAR / SP / HTAB / CR / LF)
_PAIR = re.compile(r"([A-Za-z]+)=([\x20-\x7e\t\r\n]*)")
# b64token, RFC 6750 section 2.1
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)

REFUSED = "the token is not good for this service"


class BearerSyntaxError(Exception):
    """A message that breaks the grammar of RFC 7628 section 3.1."""


class OAuthBearerServer(ServerMechanism):
    """One exchange of OAUTHBEARER."""

    name = "OAUTHBEARER"
    clear_text = True

    def __init__(self) -> None:
        self._username = ""
        self._refused = ""

    def receive(self, response: bytes) -> Event:
        """Take the token, or the client's last word after a refusal, whatever that is."""
        if self._refused:
            return Rejected("credentials", self._refused, self._username)
        try:
            self._username, token = self._parse(response)
        except BearerSyntaxError as error:
            return Rejected("malformed", f"{self.name} message: {error}", self._username)
        return VerifyToken(token, self._username)

    def token_verified(self, verdict: TokenVerdict) -> Event:
        """A good token is the outcome; a refused one is told to the client, who answers."""
        if verdict.username:
            return Accepted(verdict.username, self._username)
        self._refused = f"{REFUSED} ({verdict.status})" if verdict.status else REFUSED
        return Send(json.dumps(self._error(verdict), separators=(",", ":")).encode())

    def _error(self, verdict: TokenVerdict) -> dict[str, str]:
        """RFC 7628 section 3.2.2."""
        error = {"status": verdict.status or "invalid_token"}
        if verdict.scope:
            error["scope"] = verdict.scope
        if verdict.configuration:
            error["openid-configuration"] = verdict.configuration
        return error

    def _parse(self, message: bytes) -> tuple[str, str]:
        """The claimed user (or "") and the token."""
        # client-resp = gs2-header kvsep *kvpair kvsep
        header, separator, rest = _text(message).partition(SEPARATOR)
        if not separator:
            raise BearerSyntaxError("a gs2-header was expected")
        parts = header.split(",")
        if len(parts) != 3 or parts[0] not in ("n", "y") or parts[2]:
            raise BearerSyntaxError("a gs2-header without channel binding was expected")
        username = ""
        if parts[1]:
            if not parts[1].startswith("a="):
                raise BearerSyntaxError("an authorization identity was expected")
            try:
                username = scram.unescape_name(parts[1][2:])
            except scram.ScramSyntaxError:
                raise BearerSyntaxError("a saslname was expected") from None
        return username, token_of(rest)


def _text(message: bytes) -> str:
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        raise BearerSyntaxError("not UTF-8") from None
    if "\0" in text:
        raise BearerSyntaxError("it holds NUL")
    return text


def token_of(pairs: str) -> str:
    """The bearer token among `key=value` pairs, each ended by kvsep, ended by one more; raises BearerSyntaxError."""
    if not pairs.endswith(SEPARATOR) or (len(pairs) > 1 and pairs[-2] != SEPARATOR):
        raise BearerSyntaxError("it must end with two kvsep")
    values: dict[str, str] = {}
    for pair in pairs[:-2].split(SEPARATOR) if len(pairs) > 1 else ():
        match = _PAIR.fullmatch(pair)
        if match is None or match[1].lower() in values:
            raise BearerSyntaxError("distinct pairs key=value were expected")
        values[match[1].lower()] = match[2]
    bearer = _BEARER.fullmatch(values.get("auth", ""))
    if bearer is None:
        raise BearerSyntaxError("auth=Bearer and a token were expected")
    return bearer[1]


class XOAuth2Server(OAuthBearerServer):
    """XOAUTH2, which no RFC defines but clients of large providers use: the older form of the same.

    C: user=someone@example.com^Aauth=Bearer ya29.vF9dft4qmT...^A^A
    """

    name = "XOAUTH2"

    def _parse(self, message: bytes) -> tuple[str, str]:
        user, separator, rest = _text(message).partition(SEPARATOR)
        if not separator or not user.startswith("user=") or len(user) == 5:
            raise BearerSyntaxError("user=NAME was expected")
        return user[5:], token_of(rest)

    def _error(self, verdict: TokenVerdict) -> dict[str, str]:
        """As clients of this mechanism know it: an HTTP status."""
        status = "403" if verdict.status == "insufficient_scope" else "401"
        return {"status": status, "schemes": "bearer", "scope": verdict.scope}
