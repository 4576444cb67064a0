"""What a server mechanism says next: the whole vocabulary between a mechanism and the service that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Send:
    """Send this challenge and give the client's response to `ServerMechanism.receive`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VerifyPassword:
    """Check this password and say the result to `ServerMechanism.verified`.

    `authzid` is whom the client wants to act as; empty: itself.
    """

    username: str
    password: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class FetchScramKeys:
    """Give the keys of this user to `ServerMechanism.keys`; for an unknown user, keys that nobody can match."""

    username: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client has proved to be `username`."""

    username: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange failed: `malformed` when the message breaks the mechanism's grammar, else `credentials`."""

    kind: Literal["credentials", "malformed"]
    reason: str
    username: str = ""


Event: TypeAlias = Send | VerifyPassword | FetchScramKeys | Accepted | Rejected
