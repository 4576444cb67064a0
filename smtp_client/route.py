"""The servers of a destination in the order in which they are tried (RFC 5321 section 5.1, RFC 7505).

MX hosts by preference, equal ones in random order; the domain itself where it has no MX records; nothing that is not
better than ourselves.  What can't be found ends in `NoRoute`, whose code says whether for now or for good.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

from pillarbox.lib.dns import Absent, Answer, Failed, Outcome, RecordType, Resolver
from pillarbox.smtp_client.destination import Destination
from pillarbox.smtp_client.ourselves import Ourselves
from pillarbox.smtp_client.settings import Settings

MX_LIMIT = 100
"""MX records of a domain that are looked at."""


class NoRoute(Exception):
    """There is no server to ask.  `dsn` 4.x.x is for now, 5.x.x for good."""

    def __init__(self, dsn: str, text: str) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text


@dataclass(frozen=True, slots=True)
class Server:
    """One address to connect to; `path` in place of an address for UNIX sockets.

    Servers of the same `rank` are equally preferred, those of rank 0 most.
    """

    host: str
    address: str
    port: int
    path: str = ""
    rank: int = 0
    name_authentic: bool = False
    """Whether the host's name is no stranger's word: configured, or from MX records that DNSSEC authenticates."""
    address_authentic: bool = False
    canonical: str = ""
    """The host's name at the end of its alias chain."""
    name: str = field(init=False, compare=False, repr=False)
    """`host[address]`, as log lines and bounces name a server."""
    relay: str = field(init=False, compare=False, repr=False)
    """`host[address]:port`."""
    key: str = field(init=False, compare=False, repr=False)
    """What tells connections apart."""

    def __post_init__(self) -> None:
        # Made once: a kept connection asks for them with each message.
        name = f"{self.host}[{self.path or self.address}]"
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "relay", name if self.path else f"{name}:{self.port}")
        object.__setattr__(self, "key", self.path or f"[{self.address}]:{self.port}")


class Router:
    """Finds servers.  `authentic` gives the resolver that knows what is genuine; `shuffle` is a seam for tests."""

    def __init__(
        self,
        settings: Settings,
        resolver: Resolver,
        ourselves: Ourselves,
        shuffle: random.Random,
        authentic: Callable[[], Resolver] | None = None,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._ourselves = ourselves
        self._random = shuffle
        self._authentic = authentic

    async def servers(self, destination: Destination, *, authentic: bool = False) -> list[Server]:
        """At least one server; `authentic`: it matters whether names and addresses are genuine.  Raises NoRoute."""
        resolver = self._authentic() if authentic and self._authentic is not None else self._resolver
        if destination.path:
            return [Server(self._settings.myhostname, "", 0, destination.path)]
        literal = destination.literal
        if literal:
            wanted = RecordType.AAAA if ":" in literal else RecordType.A
            if wanted not in self._settings.families:
                raise NoRoute("4.4.1", f"no connection to [{literal}]: the address family is disabled (inet_protocols)")
            server = Server(literal, literal, destination.port, name_authentic=True)
            if self._ourselves.is_us(literal, destination.port):
                raise self._loop(literal)
            return [server]
        if destination.use_mx and not self._settings.lmtp and not self._settings.disable_dns_lookups:
            return await self._mx_servers(destination, resolver)
        return await self._host_servers(destination, resolver, genuine=True)

    async def _mx_servers(self, destination: Destination, resolver: Resolver) -> list[Server]:
        domain = destination.host
        outcome = await resolver.mx(domain)
        genuine = not isinstance(outcome, Failed) and outcome.authenticated
        match outcome:
            case Answer(records=records):
                if len(records) == 1 and records[0].exchange == "":
                    raise NoRoute("5.1.10", f"Domain {domain} does not accept mail (nullMX)")
                exchanges = [(mx.preference, mx.exchange) for mx in records[:MX_LIMIT] if mx.exchange]
            case Absent(name_exists=True):
                return await self._host_servers(destination, resolver, genuine=genuine)  # the implicit MX
            case Absent():
                raise _not_found(domain, "MX", outcome)
            case Failed():
                if self._settings.ignore_mx_lookup_error:
                    return await self._host_servers(destination, resolver, genuine=False)
                raise _not_found(domain, "MX", outcome)
        servers: list[Server] = []
        problem: NoRoute | None = None
        limit = self._settings.address_limit
        exchanges.sort(key=lambda item: item[0])
        for rank, (_, group) in enumerate(groupby(exchanges, key=lambda item: item[0])):
            hosts = list(dict.fromkeys(host for _, host in group))
            if self._settings.randomize:
                self._random.shuffle(hosts)
            outcomes = (
                await asyncio.gather(*(self._addresses(host, resolver) for host in hosts))
                if len(hosts) > 1
                else [await self._addresses(hosts[0], resolver)]
            )
            found: list[list[Server]] = []
            for host, addresses in zip(hosts, outcomes, strict=True):
                if isinstance(addresses, Answer):
                    if any(self._ourselves.is_us(address, destination.port) for address in addresses.records):
                        # RFC 5321 section 5.1: not to ourselves, nor to anyone who is no better.
                        if servers:
                            return servers
                        raise self._loop(domain)
                    found.append(_servers(host, addresses, destination.port, rank=rank, genuine=genuine))
                else:
                    failure = _not_found(host, self._type_name(), addresses)
                    if problem is None or failure.dsn.startswith("4"):
                        problem = failure
            # One address of each host before the second of any.
            servers += self._by_family([server for turn in zip_longest(*found) for server in turn if server])
            if limit and len(servers) >= limit:
                break
        if servers:
            return servers
        assert problem is not None or not exchanges
        if problem is None:
            raise NoRoute("5.4.4", f"Domain {domain} has no usable MX host")
        if self._settings.defer_if_no_address and problem.dsn.startswith("5"):
            raise NoRoute("4.4.4", problem.text)
        raise problem

    async def _host_servers(self, destination: Destination, resolver: Resolver, *, genuine: bool) -> list[Server]:
        outcome = await self._addresses(destination.host, resolver)
        if not isinstance(outcome, Answer):
            raise _not_found(destination.host, self._type_name(), outcome)
        if any(self._ourselves.is_us(address, destination.port) for address in outcome.records):
            raise self._loop(destination.host)
        servers = _servers(destination.host, outcome, destination.port, rank=0, genuine=genuine)
        if self._settings.randomize:
            self._random.shuffle(servers)
        return self._by_family(servers)

    async def _addresses(self, host: str, resolver: Resolver) -> Outcome[str]:
        outcome: Outcome[str] = Absent(host, name_exists=False)
        for source in self._settings.native_lookup:
            if source == "native":
                wanted = tuple(
                    address
                    for address in resolver.hosts.addresses(host)
                    if (RecordType.AAAA if ":" in address else RecordType.A) in self._settings.families
                )
                if wanted:
                    return Answer(host, wanted, host, 0.0)
            else:
                outcome = await resolver.addresses(host, self._settings.families)
                if isinstance(outcome, Answer):
                    return outcome
        return outcome

    def _by_family(self, servers: list[Server]) -> list[Server]:
        if len(servers) < 2 or len(self._settings.families) < 2:
            return servers
        old = [server for server in servers if ":" not in server.address]
        new = [server for server in servers if ":" in server.address]
        match self._settings.preference:
            case "ipv4":
                return old + new
            case "ipv6":
                return new + old
        first, second = (new, old) if ":" in servers[0].address else (old, new)
        return [server for pair in zip_longest(first, second) for server in pair if server is not None]

    def _type_name(self) -> str:
        return self._settings.families[-1].name

    @staticmethod
    def _loop(domain: str) -> NoRoute:
        return NoRoute("5.4.6", f"mail for {domain} loops back to myself")


def _servers(host: str, found: Answer[str], port: int, *, rank: int, genuine: bool) -> list[Server]:
    """One for each address; of `found` only an authentic resolver's word counts, and only where it was asked."""
    return [
        Server(
            host,
            address,
            port,
            rank=rank,
            name_authentic=genuine,
            address_authentic=found.authenticated,
            canonical=found.canonical,
        )
        for address in found.records
    ]


def _not_found(name: str, kind: str, outcome: Absent | Failed) -> NoRoute:
    text = f"Host or domain name not found. Name service error for name={name} type={kind}: {outcome.reason}"
    return NoRoute("5.4.4" if isinstance(outcome, Absent) else "4.4.3", text)


def usable(servers: Sequence[Server], limit: int, *, balance: bool) -> list[Server]:
    """At most `limit` servers, 0 is no limit; with `balance` not all of one address family where there are two."""
    first = list(servers[:limit]) if limit else list(servers)
    if not balance or len(first) == len(servers) or limit < 2:
        return first
    others = [server for server in servers[limit:] if (":" in server.address) != (":" in first[0].address)]
    if not others or any((":" in server.address) != (":" in first[0].address) for server in first):
        return first
    others = others[: limit // 2]
    return first[: limit - len(others)] + others
