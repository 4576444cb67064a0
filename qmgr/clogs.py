"""Saying which destination clogs the active queue, and what helps.

The active queue has room for so many messages; mail for a destination that is slower than its mail comes fills it, and
other mail waits outside.  Whoever takes up more than a fifth is named in the log, at most once in qmgr_clog_warn_time,
with the limit that holds it up: its window, the agents, or the host itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import QMGR_CLOG_WARN_TIME, QMGR_MESSAGE_ACTIVE_LIMIT
from pillarbox.lib.log import log
from pillarbox.qmgr.destination import Destination
from pillarbox.qmgr.transport import Transport

SHARE = 5
"""A destination clogs when it takes up more than one part in so many of the active queue."""

LOOK_INTERVAL = 10.0
"""Seconds between two looks: each goes through all destinations that have mail."""

OFF = "to turn off these warnings specify: qmgr_clog_warn_time: 0"


@dataclass(slots=True)
class _Use:
    transport: Transport
    name: str
    destination: Destination
    messages: int


class Clogs:
    """Looks now and then, and warns."""

    def __init__(self, config: Config) -> None:
        self._interval = config[QMGR_CLOG_WARN_TIME]
        self._limit = config[QMGR_MESSAGE_ACTIVE_LIMIT]
        self._look_at = 0.0
        self._quiet_until: dict[tuple[str, str], float] = {}

    def look(self, transports: Iterable[Transport], active: int, now: float) -> None:
        """Warn of what clogs; `active` is the number of messages in the active queue."""
        if not self._interval or active * SHARE <= self._limit or now < self._look_at:
            return
        self._look_at = now + min(LOOK_INTERVAL, self._interval)
        self._quiet_until = {key: until for key, until in self._quiet_until.items() if until > now}
        for use in _uses(transports):
            key = (use.transport.name, use.name)
            if use.messages * SHARE <= self._limit or key in self._quiet_until:
                continue
            self._quiet_until[key] = now + self._interval
            log.warning(
                f"mail for {use.name} is using up {min(use.messages, active)} of {self._limit} active queue entries"
            )
            for line in _cure(use):
                log.warning(line)


def _uses(transports: Iterable[Transport]) -> Iterator[_Use]:
    """How many messages each destination has in the active queue."""
    for transport in transports:
        found: dict[int, _Use] = {}
        for nexthop in transport.nexthops.known.values():
            destination = nexthop.destination
            use = found.get(id(destination))
            if use is None:
                use = found[id(destination)] = _Use(
                    transport, destination.site or nexthop.recipient or nexthop.name, destination, destination.busy
                )
            use.messages += len(nexthop.peers)
        yield from found.values()


def _cure(use: _Use) -> Iterator[str]:
    """What the administrator may do, by what the destination waits for."""
    name, rules, destination = use.transport.name, use.transport.rules, use.destination
    limit = rules.windows.limit
    if rules.rate_delay:
        yield f"{name}_destination_rate_delay lets one delivery through every {rules.rate_delay:g} seconds"
    elif rules.transport_rate_delay:
        yield f"{name}_transport_rate_delay lets one delivery through every {rules.transport_rate_delay:g} seconds"
    elif limit and destination.busy >= limit:
        yield f"you may need to increase {name}_destination_concurrency_limit from {limit}, if that host takes more"
    elif use.transport.pool is not None and use.transport.pool.full and destination.busy < destination.window.size:
        yield f"you may need to increase sessions or processes of the service {name} in master.yaml"
    else:
        yield f"it takes {destination.window.size} deliveries at once, as it has failed or is slow to answer;"
        yield f"you may need to reduce {name}_connect_timeout and {name}_helo_timeout, so that it is given up sooner,"
        yield "or to increase minimal_backoff_time and maximal_backoff_time, so that it is tried less often"
    yield "please avoid flushing the whole queue when there is a lot of deferred mail"
    yield OFF
