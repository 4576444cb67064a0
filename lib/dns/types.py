"""Numbers and outcome types of the DNS: what a look-up can end in, and the values that records carry.

A look-up has exactly three outcomes, each its own type: `Answer`, `Absent` (an authoritative "there is none") and
`Failed` (nobody could tell, try later).  Code that decides over mail must treat the last two differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Clock: TypeAlias = Callable[[], float]
"""Seconds that never go backwards."""

RandomBits: TypeAlias = Callable[[int], int]
"""Gives a number of so many unpredictable bits."""


class RecordType(IntEnum):
    """Record types (RFC 1035 section 3.2.2, RFC 3596, RFC 4034, RFC 6698, RFC 6891)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    OPT = 41
    DS = 43
    DNSKEY = 48
    TLSA = 52


class ResponseCode(IntEnum):
    """Response codes that are told apart here (RFC 1035 section 4.1.1)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True, order=True)
class MX:
    """A mail exchanger (RFC 5321 section 5.1); exchange "" is the null MX (RFC 7505)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class TLSA:
    """A certificate association (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The records of the asked type.

    `canonical` is the name at the end of the alias chain; `ttl` counts seconds from the moment of the answer;
    `authenticated` says that the server claims DNSSEC validation (RFC 4035 section 3.2.3), which is worth as much
    as the way to that server.
    """

    name: str
    records: tuple[T, ...]
    canonical: str
    ttl: float
    authenticated: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """An authoritative no: the name does not exist, or (`name_exists`) has no record of the asked type."""

    name: str
    name_exists: bool
    ttl: float = 0.0
    authenticated: bool = False

    @property
    def reason(self) -> str:
        """The resolver's customary words, as they stand in mail logs."""
        return "Host found but no data record of requested type" if self.name_exists else "Host not found"


@dataclass(frozen=True, slots=True)
class Failed:
    """No verdict: timeout, SERVFAIL, a broken answer.  `detail` is for the log.

    `bogus`: there was an answer, and its signatures do not hold.
    """

    name: str
    detail: str
    ttl: float = 0.0
    bogus: bool = False

    @property
    def reason(self) -> str:
        """The resolver's customary words, as they stand in mail logs; of a bogus answer also what is wrong with it."""
        return f"Host not found, try again ({self.detail})" if self.bogus else "Host not found, try again"


Outcome: TypeAlias = "Answer[T] | Absent | Failed"
