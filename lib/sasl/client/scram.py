"""SCRAM (RFC 5802; SHA-256: RFC 7677) as a client; checks the server's signature.

The -PLUS mechanisms bind the exchange to its TLS channel: somebody in the middle, who has a TLS session with either
side, gets nowhere.  Where a client could bind and the server does not offer it, the client says so (`y`), and a server
that did offer it knows that somebody has changed its words (RFC 5802 section 6).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import ClassVar

from pillarbox.lib.sasl import scram
from pillarbox.lib.sasl.client.mechanism import UNBOUND, ClientChannel, ClientMechanism, Credentials, MechanismFailed
from pillarbox.lib.sasl.stringprep import prepare

NONCE_SIZE = 18
SALT_LIMIT = 1024
"""Octets; a server's salt is a few dozen."""


class ScramClient(ClientMechanism):
    """One exchange.  `make_nonce` is given by tests that repeat an RFC's example."""

    clear_text = False
    mutual = True
    hash: ClassVar[str]

    def __init__(
        self,
        credentials: Credentials,
        channel: ClientChannel = UNBOUND,
        make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(NONCE_SIZE),
    ) -> None:
        super().__init__(credentials, channel)
        self._nonce = make_nonce()
        authzid = f"a={scram.escape_name(credentials.authzid)}" if credentials.authzid else ""
        if self.binds:
            flag, self._binding = f"p={channel.kind}", channel.data
        else:
            flag, self._binding = "y" if channel.data and not channel.binding_offered else "n", b""
        self._gs2_header = f"{flag},{authzid},".encode()
        self._first_bare = b""
        self._expected_signature = b""
        self._step = 0
        self._proved = False

    def initial(self) -> bytes:
        """The client-first-message."""
        try:
            name = prepare(self.credentials.username, stored=False)
        except ValueError as error:
            raise MechanismFailed(f"user name: {error}") from None
        self._first_bare = f"n={scram.escape_name(name)},r={self._nonce}".encode()
        self._step = 1
        return self._gs2_header + self._first_bare

    def respond(self, challenge: bytes) -> bytes:
        """Answer the server-first-message with the proof and the server-final-message with nothing."""
        try:
            if self._step == 0 and not challenge:
                return self.initial()
            if self._step == 1:
                self._step = 2
                return self._final(challenge)
            if self._step == 2:
                self._step = 3
                self._check(challenge)
                return b""
        except scram.ScramSyntaxError as error:
            raise MechanismFailed(f"SCRAM message: {error}") from None
        raise MechanismFailed("SCRAM message out of turn")

    def _final(self, server_first: bytes) -> bytes:
        pairs = scram.attributes(server_first)
        if [name for name, _ in pairs[:3]] != ["r", "s", "i"]:
            raise MechanismFailed("SCRAM message: nonce, salt and iteration count were expected")
        nonce, salt, count = pairs[0][1], scram.decode(pairs[1][1]), pairs[2][1]
        if not scram.is_nonce(nonce) or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise MechanismFailed("SCRAM nonce is not an extension of ours")
        if not (count.isascii() and count.isdigit() and len(count) < 9 and int(count) in scram.ITERATION_RANGE):
            raise MechanismFailed("SCRAM iteration count is out of range")
        if not 0 < len(salt) <= SALT_LIMIT:
            raise MechanismFailed("SCRAM salt is empty or too long")
        salted = scram.salted_password(self.credentials.password, salt, int(count), self.hash)
        client_key = scram.mac(salted, b"Client Key", self.hash)
        without_proof = f"c={scram.encode_base64(self._gs2_header + self._binding)},r={nonce}".encode()
        auth_message = b",".join((self._first_bare, server_first, without_proof))
        proof = scram.xor(client_key, scram.mac(scram.digest(client_key, self.hash), auth_message, self.hash))
        self._expected_signature = scram.mac(scram.mac(salted, b"Server Key", self.hash), auth_message, self.hash)
        return without_proof + b",p=" + scram.encode_base64(proof).encode()

    def _check(self, server_final: bytes) -> None:
        name, value = scram.attributes(server_final)[0]
        if name != "v" or not hmac.compare_digest(scram.decode(value), self._expected_signature):
            raise MechanismFailed("the server does not know the password either")
        self._proved = True

    def finish(self) -> None:
        """Success without the server's signature is no success: the server may be a false one."""
        if not self._proved:
            raise MechanismFailed("the server has not proved that it knows the password")


class ScramSha256Client(ScramClient):
    """SCRAM-SHA-256."""

    name = "SCRAM-SHA-256"
    hash = "sha256"


class ScramSha256PlusClient(ScramSha256Client):
    """SCRAM-SHA-256-PLUS."""

    name = "SCRAM-SHA-256-PLUS"
    binds = True


class ScramSha1Client(ScramClient):
    """SCRAM-SHA-1."""

    name = "SCRAM-SHA-1"
    hash = "sha1"


class ScramSha1PlusClient(ScramSha1Client):
    """SCRAM-SHA-1-PLUS."""

    name = "SCRAM-SHA-1-PLUS"
    binds = True
