"""Who is connected: address, port, and the name that the DNS gives, for logs, policy and trace fields."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pillarbox.lib.dns import UNKNOWN, ClientName, Resolver

NAME_LIFETIME = 60.0
"""Seconds for which a name is taken without asking the resolver (which has its own cache of records) again."""

REMEMBERED = 4096
"""Addresses whose name is kept; beyond it all are forgotten."""

NOT_FOUND_NOW = ClientName(UNKNOWN, "temporary", UNKNOWN, "temporary")
"""Nobody could tell."""


class Client:
    """One connected client.  `tag` is `NAME[ADDRESS]` as logs write it."""

    __slots__ = ("address", "found", "name", "named", "port", "tag")

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.named = False
        """Whether the name is settled."""
        self.name = UNKNOWN
        self.found = NOT_FOUND_NOW
        """What the DNS says in full, for access policy."""
        self.tag = f"{UNKNOWN}[{address}]"

    def settle(self, name: str, found: ClientName | None = None) -> None:
        """The name is known, or it is known that there is none ("unknown").

        `found` is the whole answer of the DNS; without it the name is taken as verified (XCLIENT says so).
        """
        self.named = True
        self.name = name
        self.found = found or (ClientName(name, "ok", name, "ok") if name != UNKNOWN else ClientName())
        self.tag = f"{name}[{self.address}]"


class ClientNames:
    """Finds names; what was found a moment ago, and what /etc/hosts says, costs no task."""

    def __init__(self, resolver: Resolver, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._known: dict[str, tuple[float, ClientName]] = {}

    def known(self, address: str) -> ClientName | None:
        """The answer where it is at hand."""
        entry = self._known.get(address)
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        name = self._resolver.hosts.name(address)
        if name is None:
            return None
        return self._keep(address, ClientName(name, "ok", name, "ok"))

    async def find(self, address: str, timeout: float) -> ClientName:
        """Ask the DNS, at most `timeout` seconds; never raises for what the DNS says."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolver.client_name(address)
        except TimeoutError:
            return NOT_FOUND_NOW
        return self._keep(address, found) if found.status != "temporary" else found

    def _keep(self, address: str, name: ClientName) -> ClientName:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[address] = self._clock() + NAME_LIFETIME, name
        return name
