"""What a script is told about the message and about the world around it; it reaches for nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone, tzinfo

from pillarbox.lib.sieve.actions import Action, Remember
from pillarbox.lib.sieve.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class SieveMessage:
    """A message at delivery.

    `header`: the header block, without the empty line behind it; `size`: octets of the message, header and body;
    `body`: gives the octets behind that empty line, called at most once and only where a test looks there; nothing, not
    even an empty piece, where there is no such line;
    `envelope`: `from` ("" is the null reverse-path), `to`, and `auth` where the client was authenticated.
    """

    header: bytes
    size: int
    body: Callable[[], Iterable[bytes]] = tuple
    envelope: Mapping[str, str] = field(default_factory=dict)


def _no(*_: object) -> bool:
    return False


def _none(*_: object) -> None:
    return None


def _nothing(*_: object) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class SieveState:
    """The world.  Each function answers at once, from what delivery knows, and raises nothing.

    `now`: seconds since the epoch, `zone`: the zone of the place; `environment`: the items of RFC 5183 section 4.1
    that are known; `delimiters`: what separates user and detail of an address (RFC 5233);
    `mailbox_exists(name)`: whether it is there and takes mail (RFC 5490); `metadata(mailbox or None, annotation)`: the
    value of a mailbox's or the server's annotation (RFC 5490); `special_use(attribute)`: the mailboxes that have it
    (RFC 8579); `duplicate_seen(identification, seconds)`: whether it is remembered (RFC 7352), without remembering it;
    `spam_score()`: per cent, None = not tested; `virus_score()`: 0 = not tested to 5 (RFC 5235).
    """

    now: float
    zone: tzinfo = timezone.utc  # noqa: UP017 (the class of the field is tzinfo)
    environment: Mapping[str, str] = field(default_factory=dict)
    delimiters: str = "+"
    mailbox_exists: Callable[[str], bool] = _no
    metadata: Callable[[str | None, str], str | None] = _none
    special_use: Callable[[str], Sequence[str]] = _nothing
    duplicate_seen: Callable[[str, int], bool] = _no
    spam_score: Callable[[], float | None] = _none
    virus_score: Callable[[], int] = int
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Result:
    """What is to be done.  Where `error` is not empty the script has failed, and `actions` is one implicit keep."""

    actions: tuple[Action, ...]
    error: str = ""
    remember: tuple[Remember, ...] = ()
