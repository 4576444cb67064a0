"""What every server mechanism is: one object per exchange, driven by the client's responses and the service's answers.

event = mechanism.start(initial_response or None)
while the event is Send:              event = mechanism.receive(response)
      or VerifyPassword:              event = mechanism.verified(whether it is right)
      or FetchScramKeys:              event = mechanism.keys(one key or several)
      or VerifyToken:                 event = mechanism.token_verified(verdict)
      or VerifyCertificate:           event = mechanism.certified(name or "")
Accepted or Rejected ends the exchange.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Self

from pillarbox.lib.sasl.events import Event, Send
from pillarbox.lib.sasl.scram import ScramKeys


@dataclass(frozen=True, slots=True)
class Channel:
    """What is known of the channel that an exchange runs over.

    `bindings`: by type (`tls-server-end-point`, ...) the data that prove this very channel.  More than one for a type
    where the server cannot tell which of its own certificates it has shown; any of them is proof.
    `binding_offered`: whether a mechanism with channel binding was offered to the client, who may then not say that
    it was not (RFC 5802 section 6).
    """

    bindings: Mapping[str, tuple[bytes, ...]] = field(default_factory=lambda: MappingProxyType({}))
    binding_offered: bool = False


PLAIN_CHANNEL = Channel()
"""A channel of which nothing is known."""


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """What became of a bearer token: `username` where it is good, else `status`.

    `status`: `invalid_token` or `insufficient_scope` (RFC 6750 section 3.1).  `scope` and `configuration` are told to a
    client whose token is refused (RFC 7628 section 3.2.2); empty: not told.
    """

    username: str = ""
    status: str = ""
    scope: str = ""
    configuration: str = ""


class ServerMechanism(ABC):
    """One exchange."""

    name: ClassVar[str]
    clear_text: ClassVar[bool]
    """Whether a password or token itself crosses the wire, so that the mechanism needs TLS."""

    @classmethod
    def over(cls, channel: Channel) -> Self:
        """A fresh exchange on a channel; most mechanisms do not care which."""
        return cls()

    def start(self, initial: bytes | None) -> Event:
        """Begin, with the client's initial response if it sent one; otherwise it is asked for by an empty challenge."""
        return Send(b"") if initial is None else self.receive(initial)

    @abstractmethod
    def receive(self, response: bytes) -> Event:
        """Take the client's next response."""

    def verified(self, correct: bool) -> Event:
        """Take the answer to `VerifyPassword`."""
        raise AssertionError(f"{self.name} checks no passwords")

    def keys(self, keys: ScramKeys | Sequence[ScramKeys]) -> Event:
        """Take the answer to `FetchScramKeys`: one key, or several of the same salt and iterations."""
        raise AssertionError(f"{self.name} uses no keys")

    def token_verified(self, verdict: TokenVerdict) -> Event:
        """Take the answer to `VerifyToken`."""
        raise AssertionError(f"{self.name} uses no tokens")

    def certified(self, username: str) -> Event:
        """Take the answer to `VerifyCertificate`: the user, or "" where the certificate stands for nobody."""
        raise AssertionError(f"{self.name} uses no certificates")
