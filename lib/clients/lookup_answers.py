"""What the two lookup clients share: the answers as values, their memory, and the reading of replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import rewriting
from pillarbox.lib.config.parameters.lookup import (
    CANONICAL_MAPS,
    LOOKUP_CACHE_TTL,
    RECIPIENT_CANONICAL_MAPS,
    SENDER_CANONICAL_MAPS,
    SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    SENDER_DEPENDENT_RELAYHOST_MAPS,
    VIRTUAL_ALIAS_MAPS,
)
from pillarbox.lib.ipc import Attributes
from pillarbox.lib.tables.errors import LookupFailed

SERVICE = "lookup"

REPLY_TIMEOUT = 60.0
"""Seconds to wait for one answer: longer than any table's own time limit, shorter than a client's patience."""

CACHE_LIMIT = 10_000
"""Answers kept of each kind; beyond it all are dropped, which at a lifetime of a second costs nothing."""

AddressClass = Literal["local", "virtual_alias", "virtual_mailbox", "relay", "default"]
Status = Literal["ok", "unknown", "relay_denied", "error"]
Position = Literal["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]
"""Where an address stands that is rewritten."""
CopyKind = Literal["sender", "recipient"]

V = TypeVar("V")


_POSITIONS: tuple[Position, ...] = ("envelope_sender", "envelope_recipient", "header_sender", "header_recipient")
_CANONICAL = (
    (SENDER_CANONICAL_MAPS, rewriting.SENDER_CANONICAL_CLASSES),
    (RECIPIENT_CANONICAL_MAPS, rewriting.RECIPIENT_CANONICAL_CLASSES),
    (CANONICAL_MAPS, rewriting.CANONICAL_CLASSES),
)


@dataclass(frozen=True, slots=True)
class RecipientVerdict:
    """Whether mail for an address may be accepted, as far as tables can say.

    `ok`: a recipient of ours, or of a domain that we relay for.
    `unknown`: its domain is ours, the user does not exist; `text` is the reason to give.
    `relay_denied`: the domain is none of ours (class `default`): only clients that may relay may send there.
    `error`: a table says that it is undeliverable (transport `error`, `retry`, a relocated user).

    `code` and `dsn` are the SMTP reply code and enhanced status code that go with `text` (550 5.1.1 ...; 450 4.x.x
    for `retry`); they have no meaning with `ok`.  `quota` is what a hosted mailbox may hold (`lib.store.quota`),
    `location` where its mail lies (`lib.store.kinds`), "" for a Maildir in its home.
    """

    status: Status
    address_class: AddressClass
    text: str = ""
    code: int = 250
    dsn: str = "2.1.5"
    quota: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """How an address is delivered.

    `transport` names a service of master.yaml, or `error` or `retry`, whose `nexthop` is the reason ("5.1.1 User
    unknown").  `nexthop` is a domain, `[host]`, `[host]:port`, or what the transport understands.  `recipient` is
    the address in complete form (domain added).
    """

    transport: str
    nexthop: str
    recipient: str
    address_class: AddressClass


@dataclass(frozen=True, slots=True)
class AccessValue:
    """What an access table has: the key that was found, and its value."""

    key: str
    value: str


class LookupUnavailable(LookupFailed, ServiceUnavailable):
    """The answer is not known now; `reason` is for the log."""


class Cache(Generic[V]):
    """Answers that are good for a while.  `found` is the whole cost of a hit."""

    __slots__ = ("_clock", "_entries", "_ttl")

    def __init__(self, ttl: float, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._clock = clock
        self._entries: dict[object, tuple[float, V]] = {}

    def found(self, key: object) -> V | None:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > self._clock() else None

    def keep(self, key: object, value: V) -> None:
        if self._ttl > 0:
            if len(self._entries) >= CACHE_LIMIT:
                self._entries.clear()
            self._entries[key] = (self._clock() + self._ttl, value)


class Questions:
    """What both clients share: the caches, the requests, the reading of replies."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self.path = config.socket_path(SERVICE)
        ttl = config[LOOKUP_CACHE_TTL]
        self.verdicts: Cache[RecipientVerdict] = Cache(ttl, clock)
        self.routes: Cache[Route] = Cache(ttl, clock)
        self.expansions: Cache[tuple[str, ...]] = Cache(ttl, clock)
        self.values: Cache[str] = Cache(ttl, clock)
        self.access: Cache[AccessValue] = Cache(ttl, clock)
        # What no table is configured for needs no question.
        self.by_sender = bool(
            config[SENDER_DEPENDENT_RELAYHOST_MAPS] or config[SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS]
        )
        self.aliases = bool(config[VIRTUAL_ALIAS_MAPS])
        masked = config[rewriting.MASQUERADE_CLASSES] if config[rewriting.MASQUERADE_DOMAINS] else ()
        self.canonical: dict[Position, bool] = {
            position: position in masked
            or any(config[maps] and position in config[classes] for maps, classes in _CANONICAL)
            for position in _POSITIONS
        }
        self.srs = bool(config[rewriting.SRS_DOMAIN])
        self.copies: dict[CopyKind, bool] = {
            "sender": bool(config[rewriting.SENDER_BCC_MAPS]),
            "recipient": bool(config[rewriting.RECIPIENT_BCC_MAPS]),
        }

    def verdict(self, key: object, reply: Attributes) -> RecipientVerdict:
        verdict = RecipientVerdict(
            cast(Status, reply.text("status")),
            cast(AddressClass, reply.text("class")),
            reply.text("text", ""),
            reply.integer("code", 250),
            reply.text("dsn", "2.1.5"),
            reply.text("quota", ""),
            reply.text("location", ""),
        )
        if verdict.status in ("ok", "relay_denied"):
            self.verdicts.keep(key, verdict)
        return verdict

    def route(self, key: object, reply: Attributes) -> Route:
        route = Route(
            reply.text("transport"),
            reply.text("nexthop"),
            reply.text("recipient"),
            cast(AddressClass, reply.text("class")),
        )
        if route.transport not in ("error", "retry"):
            self.routes.keep(key, route)
        return route

    def expansion(self, key: object, reply: Attributes) -> tuple[str, ...] | None:
        if "addresses" not in reply:
            return None
        addresses = reply.texts("addresses")
        self.expansions.keep(key, addresses)
        return addresses

    def value(self, key: object, reply: Attributes) -> str | None:
        if "value" not in reply:
            return None
        value = reply.text("value")
        self.values.keep(key, value)
        return value

    def access_value(self, key: object, reply: Attributes) -> AccessValue | None:
        if "value" not in reply:
            return None
        value = AccessValue(reply.text("key"), reply.text("value"))
        self.access.keep(key, value)
        return value


def access_request(tables: Sequence[str], keys: Sequence[str], partial: Sequence[bool]) -> dict[str, object]:
    return {
        "do": "access",
        "tables": list(tables),
        "keys": list(keys),
        "partial": "".join("01"[one] for one in partial),
    }


def owners_request(tables: Sequence[str], address: str) -> dict[str, object]:
    return {"do": "owners", "tables": list(tables), "address": address}


def checked(reply: Attributes) -> Attributes:
    if not reply.boolean("ok"):
        raise LookupUnavailable(reply.text("why", "the lookup service gave no reason"))
    return reply
