"""The clients of the lookup service: is this recipient ours, where does this address go, what does this table say.

    verdict = client.recipient("user@example.com")     # RecipientVerdict
    route = client.resolve("user@example.com", sender) # Route
    client.expand("sales@example.com")                 # ("ann@example.com", "bob@example.net") or None
    client.get("alias_maps", "postmaster")             # the value or None
    client.access(["hash:/etc/clients"], ["192.0.2.1", "192.0.2"], [False, True])   # AccessValue or None

`LookupClient` is for blocking programs and not for several threads at once; `AsyncLookupClient` has its methods (those
that such programs need) as coroutines, any number of which may run at once over its one connection.  Answers are kept
for `lookup_cache_ttl` seconds, so that one message with its many questions costs one look-up and a cached answer costs
a dictionary access; what was not found is asked again each time, so that a new user gets mail at once.

Every method raises `LookupUnavailable`, which is both a `LookupFailed` and a `ServiceUnavailable`, when the answer is
not known now (a table is broken, the service is away).  The caller defers; it is never "not found".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from pillarbox.lib.clients.lookup_answers import (
    REPLY_TIMEOUT,
    AccessValue,
    AddressClass,
    CopyKind,
    LookupUnavailable,
    Position,
    Questions,
    RecipientVerdict,
    Route,
    Status,
    access_request,
    checked,
    owners_request,
)
from pillarbox.lib.clients.tagged import NoAnswer, TaggedConnection
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError

__all__ = [
    "AccessValue",
    "AddressClass",
    "AsyncLookupClient",
    "LookupClient",
    "LookupUnavailable",
    "Position",
    "RecipientVerdict",
    "Route",
    "Status",
]

TRIES = 3
"""Connections made for one question: a process of the service ends in the middle of one when a table was replaced, and
its successor may meet the next replacement."""

PATIENCE = 10.0
"""Seconds after which a question is not asked again: the caller has waited long enough."""


class LookupClient:
    """Blocking client; connects at the first question and again when the service was restarted."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._questions = Questions(config, clock)
        self._channel: Channel | None = None

    def recipient(self, address: str) -> RecipientVerdict:
        """Whether mail for `address` may be accepted."""
        questions = self._questions
        return questions.verdicts.found(address) or questions.verdict(
            address, self._call({"do": "recipient", "address": address})
        )

    def resolve(self, recipient: str, sender: str = "") -> Route:
        """Transport and next hop of `recipient`; `sender` matters only for sender-dependent tables."""
        questions = self._questions
        if not questions.by_sender:
            sender = ""
        key = (recipient, sender)
        return questions.routes.found(key) or questions.route(
            key, self._call({"do": "resolve", "address": recipient, "sender": sender})
        )

    def expand(self, address: str) -> tuple[str, ...] | None:
        """The addresses that virtual aliases replace `address` by, each in complete form; None = it is no alias."""
        questions = self._questions
        if not questions.aliases:
            return None
        return questions.expansions.found(address) or questions.expansion(
            address, self._call({"do": "expand", "address": address})
        )

    def canonical(self, address: str, position: Position) -> str | None:
        """What an address is rewritten to where it stands; None = it stays as it is."""
        questions = self._questions
        if not questions.canonical[position]:
            return None
        key = (position, address)
        found = questions.values.found(key)
        if found is None:
            found = questions.value(key, self._call({"do": "canonical", "address": address, "position": position}))
        return found

    def copy_to(self, address: str, kind: CopyKind) -> str | None:
        """Who gets a blind copy of mail from or to an address; None = nobody."""
        questions = self._questions
        if not questions.copies[kind]:
            return None
        key = ("copy", kind, address)
        found = questions.values.found(key)
        if found is None:
            found = questions.value(key, self._call({"do": "copy", "address": address, "kind": kind}))
        return found

    def returned(self, address: str) -> str | None:
        """Whom mail to a sender of ours for mail sent on (SRS) is for; None = it is no such address, or a bad one."""
        if not self._questions.srs or address.lstrip('"')[:3].upper() != "SRS":
            return None
        return self._questions.value(("srs", address), self._call({"do": "returned", "address": address}))

    def get(self, parameter: str, key: str) -> str | None:
        """Look up `key` in the tables that the parameter named `parameter` lists; None = not found."""
        questions = self._questions
        kept = (parameter, key)
        found = questions.values.found(kept)
        if found is None:
            found = questions.value(kept, self._call({"do": "get", "parameter": parameter, "key": key}))
        return found

    def locate(self, parameter: str, key: str) -> int | None:
        """The number of the table, of those that the parameter named `parameter` lists, that has `key`; never kept."""
        reply = self._call({"do": "get", "parameter": parameter, "key": key})
        return reply.integer("table") if "table" in reply else None

    def listed(self, parameter: str, domain: str) -> bool:
        """Whether the list of domains that the parameter named `parameter` holds has `domain`."""
        return self._call({"do": "listed", "parameter": parameter, "domain": domain}).boolean("listed")

    def access(self, tables: Sequence[str], keys: Sequence[str], partial: Sequence[bool]) -> AccessValue | None:
        """The first of `keys` that is in one of `tables`.

        The configuration must name the tables, for access policy or the SMTP client.  `partial` says of each key
        whether it is a part of what is looked for: tables of patterns see whole keys only.
        """
        questions = self._questions
        kept = (tuple(tables), tuple(keys), tuple(partial))
        return questions.access.found(kept) or questions.access_value(
            kept, self._call(access_request(tables, keys, partial))
        )

    def in_table(self, table: str, key: str) -> str | None:
        """The value of `key` in one table that the configuration names for content checks; never kept.

        Raises LookupUnavailable.
        """
        reply = self._call(access_request((table,), (key,), (False,)))
        return reply.text("value") if "value" in reply else None

    def owners(self, tables: Sequence[str], address: str) -> AccessValue | None:
        """What such tables have for an address, in the order of virtual(5): for login names that own it."""
        questions = self._questions
        kept = (tuple(tables), address)
        return questions.access.found(kept) or questions.access_value(kept, self._call(owners_request(tables, address)))

    def _call(self, request: dict[str, object]) -> Attributes:
        began = time.monotonic()
        tries = 0
        while True:
            try:
                channel = self._channel
                if channel is None:
                    tries += 1
                    channel = self._channel = Channel.connect(self._questions.path, REPLY_TIMEOUT)
                channel.send(request)
                return checked(channel.receive())
            except ProtocolError as error:
                self.close()
                raise LookupUnavailable(f"lookup service: {error}") from None
            except ChannelClosed as error:
                connected = self._channel is not None
                self.close()
                if not connected or tries >= TRIES or time.monotonic() - began > PATIENCE:
                    raise LookupUnavailable(f"lookup service: {error}") from None

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class AsyncLookupClient:
    """Client for asyncio programs: one connection, on which questions overtake each other by their tags."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._questions = Questions(config, clock)
        self._connection: TaggedConnection | None = None
        self._connecting = asyncio.Lock()

    def known_recipient(self, address: str) -> RecipientVerdict | None:
        """The kept answer to `recipient`, without waiting; None = ask."""
        return self._questions.verdicts.found(address)

    def known_route(self, recipient: str, sender: str = "") -> Route | None:
        """The kept answer to `resolve`, without waiting; None = ask."""
        questions = self._questions
        return questions.routes.found((recipient, sender if questions.by_sender else ""))

    def known_access(self, *question: object) -> AccessValue | None:
        """The kept answer to `access` or `owners` with these arguments (tuples), without waiting; None = ask."""
        return self._questions.access.found(question)

    async def recipient(self, address: str) -> RecipientVerdict:
        """Whether mail for `address` may be accepted."""
        questions = self._questions
        return questions.verdicts.found(address) or questions.verdict(
            address, await self._call({"do": "recipient", "address": address})
        )

    async def resolve(self, recipient: str, sender: str = "") -> Route:
        """Transport and next hop of `recipient`; `sender` matters only for sender-dependent tables."""
        questions = self._questions
        if not questions.by_sender:
            sender = ""
        key = (recipient, sender)
        return questions.routes.found(key) or questions.route(
            key, await self._call({"do": "resolve", "address": recipient, "sender": sender})
        )

    async def probing_route(self, recipient: str) -> Route:
        """As `resolve`, for a probe of address verification."""
        request: dict[str, object] = {"do": "resolve", "address": recipient, "verify": True}
        key = ("verify", recipient, "")
        return self._questions.routes.found(key) or self._questions.route(key, await self._call(request))

    async def expand(self, address: str) -> tuple[str, ...] | None:
        """The addresses that virtual aliases replace `address` by, each in complete form; None = it is no alias."""
        questions = self._questions
        if not questions.aliases:
            return None
        return questions.expansions.found(address) or questions.expansion(
            address, await self._call({"do": "expand", "address": address})
        )

    async def members(self, address: str) -> tuple[str, ...]:
        """Whom EXPN shows behind `address`, perhaps without domains; () where it is no alias."""
        return (await self._call({"do": "members", "address": address})).texts("addresses")

    async def generic(self, tables: Sequence[str], address: str) -> str:
        """The address that others see in place of one of ours (generic(5)); mostly that itself."""
        key = ("generic", tuple(tables), address)
        found = self._questions.values.found(key)
        if found is None:
            reply = await self._call({"do": "generic", "tables": list(tables), "address": address})
            found = self._questions.value(key, reply)
        return address if found is None else found

    async def forwarded(self, sender: str, original: str, address: str) -> str | None:
        """The sender to name when mail for `original` is sent on to `address`; None = the one that it has."""
        key = ("forwarded", sender, original, address)
        found = self._questions.values.found(key)
        if found is None:
            request: dict[str, object] = {
                "do": "forwarded",
                "sender": sender,
                "original": original,
                "address": address,
            }
            found = self._questions.value(key, await self._call(request))
        return found

    async def get(self, parameter: str, key: str) -> str | None:
        """Look up `key` in the tables that the parameter named `parameter` lists; None = not found."""
        questions = self._questions
        kept = (parameter, key)
        found = questions.values.found(kept)
        if found is None:
            found = questions.value(kept, await self._call({"do": "get", "parameter": parameter, "key": key}))
        return found

    async def listed(self, parameter: str, domain: str) -> bool:
        """Whether the list of domains that the parameter named `parameter` holds has `domain`."""
        return (await self._call({"do": "listed", "parameter": parameter, "domain": domain})).boolean("listed")

    async def access(self, tables: Sequence[str], keys: Sequence[str], partial: Sequence[bool]) -> AccessValue | None:
        """The first of `keys` that is in one of `tables`.

        The configuration must name the tables, for access policy or the SMTP client.  `partial` says of each key
        whether it is a part of what is looked for: tables of patterns see whole keys only.
        """
        questions = self._questions
        kept = (tuple(tables), tuple(keys), tuple(partial))
        return questions.access.found(kept) or questions.access_value(
            kept, await self._call(access_request(tables, keys, partial))
        )

    async def in_table(self, table: str, key: str) -> str | None:
        """The value of `key` in one table that the configuration names for content checks; never kept."""
        reply = await self._call(access_request((table,), (key,), (False,)))
        return reply.text("value") if "value" in reply else None

    async def owners(self, tables: Sequence[str], address: str) -> AccessValue | None:
        """What such tables have for an address, in the order of virtual(5): for login names that own it."""
        questions = self._questions
        kept = (tuple(tables), address)
        return questions.access.found(kept) or questions.access_value(
            kept, await self._call(owners_request(tables, address))
        )

    async def _call(self, request: dict[str, object]) -> Attributes:
        began = time.monotonic()
        tries = 0
        while True:
            connection = self._connection
            if connection is None or connection.broken:
                async with self._connecting:
                    connection = self._connection
                    if connection is None or connection.broken:
                        tries += 1
                        connection = self._connection = await self._connect()
            try:
                return checked(await connection.ask(request))
            except ProtocolError as error:
                connection.fail(ChannelClosed("protocol error"))
                raise LookupUnavailable(f"lookup service: {error}") from None
            except NoAnswer as error:
                raise LookupUnavailable(f"lookup service: {error}") from None
            except ChannelClosed as error:
                if tries >= TRIES or time.monotonic() - began > PATIENCE:
                    raise LookupUnavailable(f"lookup service: {error}") from None

    async def _connect(self) -> TaggedConnection:
        try:
            return TaggedConnection(await AsyncChannel.connect(self._questions.path, REPLY_TIMEOUT), REPLY_TIMEOUT)
        except ChannelClosed as error:
            raise LookupUnavailable(f"lookup service: {error}") from None

    async def close(self) -> None:
        """End the connection; the next question makes a new one."""
        if self._connection is not None:
            self._connection.fail(ChannelClosed("the client was closed"))
            self._connection = None
