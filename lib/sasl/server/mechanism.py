"""What every server mechanism is: one object per exchange, driven by the client's responses and the service's answers.

event = mechanism.start(initial_response or None)
while the event is Send:            event = mechanism.receive(response)
      or VerifyPassword:            event = mechanism.verified(whether it is right)
      or FetchScramKeys:            event = mechanism.keys(keys)
Accepted or Rejected ends the exchange.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pillarbox.lib.sasl.events import Event, Send
from pillarbox.lib.sasl.scram import ScramKeys


class ServerMechanism(ABC):
    """One exchange."""

    name: ClassVar[str]
    clear_text: ClassVar[bool]
    """Whether the password itself crosses the wire, so that the mechanism needs TLS."""

    def start(self, initial: bytes | None) -> Event:
        """Begin, with the client's initial response if it sent one; otherwise it is asked for by an empty challenge."""
        return Send(b"") if initial is None else self.receive(initial)

    @abstractmethod
    def receive(self, response: bytes) -> Event:
        """Take the client's next response."""

    def verified(self, correct: bool) -> Event:
        """Take the answer to `VerifyPassword`."""
        raise AssertionError(f"{self.name} checks no passwords")

    def keys(self, keys: ScramKeys) -> Event:
        """Take the answer to `FetchScramKeys`."""
        raise AssertionError(f"{self.name} uses no keys")
