"""SCRAM-SHA-256 (RFC 7677) as a server: the client proves that it knows the password without sending it.

    C: n,,n=user,r=rOprNGfwEbeRWgbN      client-first-message
    S: r=rOprNGfwEbeRWgbN...,s=W22Z...,i=4096
    C: c=biws,r=rOprNGfwEbeRWgbN...,p=dHzb...
    S: v=6rri...                         server-final-message, as a challenge that the client answers with nothing

SCRAM-SHA-256-PLUS is the same with `p=TYPE` in place of `n`: the client proves besides that both ends are on the same
TLS channel (RFC 5802 section 6).  A client that says `y` (it could, but the server does not offer it) where -PLUS was
offered has been lied to by somebody in the middle, and is refused.

A user may have several passwords of the same salt and iteration count; the proof is held against each.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Literal, Self

from pillarbox.lib.sasl import scram
from pillarbox.lib.sasl.events import Accepted, Event, FetchScramKeys, Rejected, Send
from pillarbox.lib.sasl.scram import ScramKeys, ScramSyntaxError
from pillarbox.lib.sasl.server.mechanism import PLAIN_CHANNEL, Channel, ServerMechanism

NONCE_SIZE = 18
"""Random octets of the server's half of the nonce: 144 bits, 24 characters."""

FAILED = "authentication failed"
STRIPPED = "channel binding was offered, but the client was told that it was not"
UNKNOWN_BINDING = "channel binding of this type is not offered"
OTHER_CHANNEL = "channel bindings do not match"


class ScramSha256Server(ServerMechanism):
    """One exchange of SCRAM-SHA-256.  `make_nonce` is given by tests that repeat the RFC's example."""

    name = "SCRAM-SHA-256"
    clear_text = False
    _binds = False

    def __init__(
        self,
        make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(NONCE_SIZE),
        channel: Channel = PLAIN_CHANNEL,
    ) -> None:
        self._make_nonce = make_nonce
        self._channel = channel
        self._expects: Literal["first", "keys", "final", "empty"] = "first"
        self._username = self._authzid = self._nonce = ""
        self._gs2_header = self._client_first_bare = self._server_first = b""
        self._binding: tuple[bytes, ...] = (b"",)
        """What may follow the gs2-header in the client's `c=`."""
        self._keys: tuple[ScramKeys, ...] = ()
        self._matched = 0

    @classmethod
    def over(cls, channel: Channel) -> Self:
        """A fresh exchange, which knows what binds it to its channel."""
        return cls(channel=channel)

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
                    return Accepted(self._username, self._authzid, self._matched)
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
        if flag not in (b"n", b"y") and not scram.is_binding_flag(flag):
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
        if problem := self._binding_problem(flag):
            return Rejected("credentials", problem, self._username)
        self._nonce += self._make_nonce()
        self._expects = "keys"
        return FetchScramKeys(self._username, self._authzid)

    def _binding_problem(self, flag: bytes) -> str:
        """What is wrong with the client's word about channel binding; "" where nothing is."""
        if flag.startswith(b"p="):
            if not self._binds:
                return "channel binding needs SCRAM-SHA-256-PLUS"
            self._binding = self._channel.bindings.get(flag[2:].decode("ascii"), ())
            return "" if self._binding else UNKNOWN_BINDING
        if self._binds:
            return "SCRAM-SHA-256-PLUS needs channel binding"
        return STRIPPED if flag == b"y" and self._channel.binding_offered else ""

    def keys(self, keys: ScramKeys | Sequence[ScramKeys]) -> Event:
        """Go on with the user's keys."""
        self._keys = (keys,) if isinstance(keys, ScramKeys) else tuple(keys)
        first = self._keys[0]
        self._server_first = f"r={self._nonce},s={scram.encode_base64(first.salt)},i={first.iterations}".encode()
        self._expects = "final"
        return Send(self._server_first)

    def _client_final(self, message: bytes) -> Event:
        without_proof, separator, _ = message.rpartition(b",p=")
        pairs = scram.attributes(message)
        names = [name for name, _ in pairs]
        if not separator or names[:2] != ["c", "r"] or names[-1] != "p":
            raise ScramSyntaxError("channel binding, nonce and proof were expected")
        proof = scram.decode(pairs[-1][1])
        auth_message = b",".join((self._client_first_bare, self._server_first, without_proof))
        if pairs[1][1] != self._nonce or len(proof) != scram.DIGEST_SIZE:
            return Rejected("credentials", FAILED, self._username)
        bound = scram.decode(pairs[0][1])
        if not any(hmac.compare_digest(bound, self._gs2_header + data) for data in self._binding):
            return Rejected("credentials", OTHER_CHANNEL if self._binds else FAILED, self._username)
        matched = -1
        for index, keys in enumerate(self._keys):
            client_key = scram.xor(proof, scram.mac(keys.stored_key, auth_message))
            if hmac.compare_digest(scram.digest(client_key), keys.stored_key):
                matched = index
        if matched < 0:
            return Rejected("credentials", FAILED, self._username)
        self._matched = matched
        self._expects = "empty"
        signature = scram.mac(self._keys[matched].server_key, auth_message)
        return Send(b"v=" + scram.encode_base64(signature).encode())


class ScramSha256PlusServer(ScramSha256Server):
    """One exchange of SCRAM-SHA-256-PLUS: bound to the TLS channel."""

    name = "SCRAM-SHA-256-PLUS"
    _binds = True
