"""From which address a delivery goes out: the pool of its transport, and how much a new address may send yet.

The choice is a pure function (`choose`).  A destination that gets one delivery after the other stays with one source,
so that connections are used again and greylisting knows us; which one is derived from the destination's name, so that
a restart changes nothing.  Deliveries that run at once are spread over the pool.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.delivery import SOURCE_ADDRESSES, WARM_UP
from pillarbox.lib.config.sources import Source, WarmUp
from pillarbox.qmgr.warm_up import Counts

PROGRAM = "smtp_client"
"""The agents that take sources."""

DAY = 86400.0


def choose(
    pool: Sequence[Source], destination: str, busy: Mapping[str, int], room: Callable[[Source], int | None]
) -> tuple[Source, int | None] | None:
    """The source for the next delivery, and how many recipients it may have (None: any number); None where no source
    has room.

    `busy` counts the deliveries to the destination that run now, by source.
    """
    best: tuple[tuple[int, int], Source, int | None] | None = None
    for source in pool:
        left = room(source)
        if left is not None and left <= 0:
            continue
        rank = (busy.get(source.name, 0), _preference(destination, source) if len(pool) > 1 else 0)
        if best is None or rank < best[0]:
            best = rank, source, left
    return None if best is None else (best[1], best[2])


def _preference(destination: str, source: Source) -> int:
    """A number that is small for one of the sources: each destination has its own order of the pool (rendezvous
    hashing), which an address that comes or goes does not disturb."""
    text = f"{destination}\n{source.name}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest())


def today(now: float) -> datetime.date:
    """The day (UTC) of a time in seconds since the epoch."""
    return datetime.datetime.fromtimestamp(now, datetime.UTC).date()


def tomorrow(now: float) -> float:
    """When the next day (UTC) begins."""
    return (now // DAY + 1) * DAY


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source with the most recipients that it may be used for, or None where none may be used before `until`."""

    source: Source | None
    recipients: int | None = None
    until: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A delivery that runs: from which source, where to, and on which day it was counted for so many recipients."""

    source: Source
    transport: str
    destination: str
    day: datetime.date
    recipients: int


@dataclass(eq=False, slots=True)
class Sources:
    """The pools of all transports, and what was sent today from addresses that are being warmed up."""

    pools: Mapping[str, tuple[Source, ...]]
    warm_up: Mapping[str, Mapping[str, WarmUp]]
    """By transport, then by the name of the source."""
    counts: Counts
    clock: Callable[[], float]
    _busy: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    """Deliveries that run now, by (transport, destination), then by source: as many as run."""

    @classmethod
    def of(cls, config: Config, counts: Counts, clock: Callable[[], float]) -> Sources:
        """The pools that the configuration gives: of main.yaml, or of a transport's own options."""
        pools: dict[str, tuple[Source, ...]] = {}
        warm_up: dict[str, dict[str, WarmUp]] = {}
        for name, service in config.services.items():
            if service.command != PROGRAM:
                continue
            view = config.for_service(service)
            if not (pool := view[SOURCE_ADDRESSES]):
                continue
            pools[name] = pool
            limits = view[WARM_UP]
            warm_up[name] = {
                source.name: limits[address] for source in pool for address in source.addresses if address in limits
            }
        return cls(pools, warm_up, counts, clock)

    @property
    def warming(self) -> bool:
        """Whether any address is limited, so that there is something to count."""
        return any(self.warm_up.values())

    def choose(self, transport: str, destination: str) -> Chosen | None:
        """The source for a delivery; None where the transport has no pool.

        `destination` is the site, or the next hop where that is not known.
        """
        pool = self.pools.get(transport)
        if pool is None:
            return None
        limits = self.warm_up[transport]
        now = self.clock()
        day = today(now)

        def room(source: Source) -> int | None:
            warm = limits.get(source.name)
            limit = warm.limit(day) if warm is not None else None
            return None if limit is None else limit - self.counts.sent(day, source.name, destination)

        found = choose(pool, destination, self._busy.get((transport, destination), {}), room)
        if found is None:
            until = tomorrow(now)
            text = (
                f"the day's limit of mail to {destination} from new addresses is reached (warm_up); "
                f"it goes on at {datetime.datetime.fromtimestamp(until, datetime.UTC):%Y-%m-%d %H:%M} UTC"
            )
            return Chosen(None, until=until, text=text)
        source, left = found
        return Chosen(source, left)

    def begun(self, transport: str, destination: str, source: Source, recipients: int) -> Outgoing:
        """A delivery from `source` begins; to be handed to `ended`."""
        busy = self._busy.setdefault((transport, destination), {})
        busy[source.name] = busy.get(source.name, 0) + 1
        day = today(self.clock())
        outgoing = Outgoing(source, transport, destination, day, recipients)
        if source.name in self.warm_up[transport]:
            self.counts.add(day, source.name, destination, recipients)
        return outgoing

    def ended(self, outgoing: Outgoing, unsent: int | None = None) -> None:
        """It is over; `unsent` recipients (None: all) have got nothing, so that they do not count."""
        source, key = outgoing.source, (outgoing.transport, outgoing.destination)
        busy = self._busy[key]
        busy[source.name] -= 1
        if not busy[source.name]:
            del busy[source.name]
            if not busy:
                del self._busy[key]
        unsent = outgoing.recipients if unsent is None else unsent
        if unsent and source.name in self.warm_up[outgoing.transport] and outgoing.day == today(self.clock()):
            self.counts.add(outgoing.day, source.name, outgoing.destination, -unsent)
