"""The processes of each service, and the decision to start another."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from pillarbox.lib.config import Config, Service
from pillarbox.lib.process import Program
from pillarbox.master.throttle import Throttle


@dataclass(eq=False, slots=True)
class Child:
    """A running worker process."""

    pid: int
    status: socket.socket
    station: Station
    started: float
    ready: bool = False
    full: bool = False
    stopping: bool = False
    killed: bool = False


@dataclass(eq=False, slots=True)
class Station:
    """One service in one generation of the configuration."""

    service: Service
    program: Program
    config: Config
    listeners: list[socket.socket]
    throttle: Throttle
    children: dict[int, Child] = field(default_factory=dict)
    announced: bool = False
    retired: bool = False
    next_wakeup: float = 0.0

    def serving(self) -> list[Child]:
        """The children that take work."""
        return [child for child in self.children.values() if not child.stopping]

    def wanted(self, now: float) -> bool:
        """Whether a warm process is missing and may be started."""
        return not self.retired and len(self.serving()) < self.service.warm and self.throttle.allows(now)

    def crowded(self, now: float) -> bool:
        """Whether a client that waits should get a further process: all are full, or there is none."""
        serving = self.serving()
        return (
            not self.retired
            and len(serving) < self.service.processes
            and all(child.full for child in serving)
            and self.throttle.allows(now)
        )

    @property
    def stage(self) -> int:
        """When the service stops: what faces the network first, then what commands reach, then what these need."""
        if self.service.inet:
            return 0
        return 1 if "public" in self.service.listen else 2


STAGES = (0, 1, 2)


def in_stage(stations: Iterable[Station], stage: int) -> list[Station]:
    """The stations that stop in the given stage."""
    return [station for station in stations if station.stage == stage]
