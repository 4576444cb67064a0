"""SCRAM-SHA-256 (RFC 7677) as a server: the client proves that it knows the password without sending it.

    C: n,,n=user,r=rOprNGfw              client-first-message
    S: r=rOprNGfwEbeRWgbN,s=W22Z...,i=4096
    C: c=biws,r=rOprNGfwEbeRWgbN,p=dHzb...
    S: v=6rri...                         server-final-message, as a challenge that the client answers with nothing

Without channel binding: a client that demands it (`p=`) is refused, one that only notes that we offer none (`y`) is
right.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Literal

from pillarbox.lib.sasl import scram
from pillarbox.lib.sasl.events import Accepted, Event, FetchScramKeys, Rejected, Send
from pillarbox.lib.sasl.scram import ScramKeys, ScramSyntaxError
from pillarbox.lib.sasl.server.mechanism import ServerMechanism

NONCE_SIZE = 18
"""Random octets of the server's half of the nonce: 144 bits, 24 characters."""


class ScramSha256Server(ServerMechanism):
    """One exchange of SCRAM-SHA-256.  `make_nonce` is given by tests that repeat the RFC's example."""

    name = "SCRAM-SHA-256"
    clear_text = False

    def __init__(self, make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(NONCE_SIZE)) -> None:
        self._make_nonce = make_nonce
        self._expects: Literal["first", "keys", "final", "empty"] = "first"
        self._username = self._authzid = self._nonce = ""
        self._gs2_header = self._client_first_bare = self._server_first = b""
        self._keys: ScramKeys | None = None

    def receive(self, response: bytes) -> Event:
        """Take the client-first-message, the client-final-message, or the empty answer to our final one."""
        try:
            match self._expects:
                case "first":
                    return self._client_first(response)
                case "final":
                    return self._client_final(response)
                case "empty":
                    if response:
                        return Rejected("malformed", "the last SCRAM response must be empty", self._username)
                    return Accepted(self._username, self._authzid)
                case "keys":
                    raise AssertionError("the keys come first")
        except ScramSyntaxError as error:
            return Rejected("malformed", f"SCRAM message: {error}", self._username)

    def _client_first(self, message: bytes) -> Event:
        # gs2-header = gs2-cbind-flag "," [ authzid ] ","        RFC 5802 section 7
        parts = message.split(b",", 2)
        if len(parts) != 3:
            raise ScramSyntaxError("a client-first-message was expected")
        flag, authzid, self._client_first_bare = parts
        if flag.startswith(b"p="):
            return Rejected("credentials", "channel binding is not offered", self._username)
        if flag not in (b"n", b"y"):
            raise ScramSyntaxError("a channel binding flag was expected")
        if authzid:
            [(name, value)] = scram.attributes(authzid)
            if name != "a":
                raise ScramSyntaxError("an authorization identity was expected")
            self._authzid = scram.unescape_name(value)
        self._gs2_header = flag + b"," + authzid + b","
        pairs = scram.attributes(self._client_first_bare)
        # A leading "m=" is an extension that must be understood; there is none.
        if [name for name, _ in pairs[:2]] != ["n", "r"]:
            raise ScramSyntaxError("user name and nonce were expected")
        self._username = scram.unescape_name(pairs[0][1])
        self._nonce = pairs[1][1]
        if not scram.is_nonce(self._nonce):
            raise ScramSyntaxError("a printable nonce was expected")
        self._nonce += self._make_nonce()
        self._expects = "keys"
        return FetchScramKeys(self._username, self._authzid)

    def keys(self, keys: ScramKeys) -> Event:
        """Go on with the user's keys."""
        self._keys = keys
        self._server_first = f"r={self._nonce},s={scram.encode_base64(keys.salt)},i={keys.iterations}".encode()
        self._expects = "final"
        return Send(self._server_first)

    def _client_final(self, message: bytes) -> Event:
        keys = self._keys
        assert keys is not None
        without_proof, separator, _ = message.rpartition(b",p=")
        pairs = scram.attributes(message)
        names = [name for name, _ in pairs]
        if not separator or names[:2] != ["c", "r"] or names[-1] != "p":
            raise ScramSyntaxError("channel binding, nonce and proof were expected")
        proof = scram.decode(pairs[-1][1])
        right_exchange = scram.decode(pairs[0][1]) == self._gs2_header and pairs[1][1] == self._nonce
        auth_message = b",".join((self._client_first_bare, self._server_first, without_proof))
        if not right_exchange or len(proof) != scram.DIGEST_SIZE:
            return Rejected("credentials", "authentication failed", self._username)
        client_key = scram.xor(proof, scram.mac(keys.stored_key, auth_message))
        if not hmac.compare_digest(scram.digest(client_key), keys.stored_key):
            return Rejected("credentials", "authentication failed", self._username)
        self._expects = "empty"
        return Send(b"v=" + scram.encode_base64(scram.mac(keys.server_key, auth_message)).encode())
