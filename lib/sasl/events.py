"""What a server mechanism says next: the whole vocabulary between a mechanism and the service that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
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
class VerifyToken:
    """Ask whose bearer token this is and say the result to `ServerMechanism.token_verified`.

    `username` is the name that the client claims; empty: whoever the token belongs to.
    """

    token: str = field(repr=False)
    username: str = ""


@dataclass(frozen=True, slots=True)
class VerifyCertificate:
    """Say to `ServerMechanism.certified` whom the client's certificate stands for.

    `authzid` is whom the client wants to act as; empty: whomever the certificate names.
    """

    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client has proved to be `username`.  `key` is which of the keys given to `keys` the proof was made with."""

    username: str
    authzid: str = ""
    key: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange failed: `malformed` when the message breaks the mechanism's grammar, else `credentials`."""

    kind: Literal["credentials", "malformed"]
    reason: str
    username: str = ""


Event: TypeAlias = Send | VerifyPassword | FetchScramKeys | VerifyToken | VerifyCertificate | Accepted | Rejected
