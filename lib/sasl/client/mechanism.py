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
    """Who we are towards the server, and whom we act for (empty: ourselves).

    `bearer` says that the password is an access token (RFC 6750).
    """

    username: str
    password: str = field(repr=False)
    authzid: str = ""
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class ClientChannel:
    """What the client knows of the channel: a binding (RFC 5056), its type and data, or none.

    `binding_offered`: the server offers a mechanism that binds, of the same kind.
    """

    kind: str = ""
    data: bytes = field(default=b"", repr=False)
    binding_offered: bool = False


UNBOUND = ClientChannel()


class MechanismFailed(Exception):
    """The server's message breaks the mechanism or does not prove that it knows our keys: give up (`*`)."""


class ClientMechanism(ABC):
    """One exchange."""

    name: ClassVar[str]
    clear_text: ClassVar[bool]
    """Whether the password or token itself crosses the wire."""
    mutual: ClassVar[bool] = False
    """Whether the server proves itself, too."""
    binds: ClassVar[bool] = False
    """Whether it needs a channel binding."""
    bearer: ClassVar[bool] = False
    """Whether it shows a token, not a password."""

    def __init__(self, credentials: Credentials, channel: ClientChannel = UNBOUND) -> None:
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
