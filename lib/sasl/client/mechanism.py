"""What every client mechanism is: one object per exchange, answering the server's challenges.

initial = mechanism.initial()                  # None: wait for the first challenge
response = mechanism.respond(challenge)        # for each challenge
mechanism.finish()                             # when the server reports success
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are towards the server, and whom we act for (empty: ourselves)."""

    username: str
    password: str = field(repr=False)
    authzid: str = ""


class MechanismFailed(Exception):
    """The server's message breaks the mechanism or does not prove that it knows our keys: give up (`*`)."""


class ClientMechanism(ABC):
    """One exchange."""

    name: ClassVar[str]
    clear_text: ClassVar[bool]

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    @abstractmethod
    def initial(self) -> bytes | None:
        """The initial response, None for a mechanism in which the server speaks first."""

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge; raises `MechanismFailed`."""

    def finish(self) -> None:
        """The server reports success; raises `MechanismFailed` where it has not proved itself."""
        return
