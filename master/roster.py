"""The processes of each service, and the decision to start another."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from pillarbox.lib.config import Config, Service
from pillarbox.lib.process import Program
from pillarbox.lib.tls.tickets import TicketKeys
from pillarbox.master.throttle import Throttle


@dataclass(eq=False, slots=True)
class Child:
    """A running worker process."""

    pid: int
    status: socket.socket
    station: Station
    started: float
    ready: bool = False
    generation: int = 0
    full: bool = False
    retiring: bool = False
    """It takes no new sessions and ends with its last one."""
    retired_at: float = 0.0
    stopping: bool = False
    killed: bool = False

    def send(self, message: bytes) -> None:
        """Say something over the status socket; who is gone needs no word."""
        with contextlib.suppress(OSError):
            self.status.send(message, socket.MSG_NOSIGNAL)

    def signal(self, number: int) -> None:
        """Send a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def drain(self) -> None:
        """Tell it to end: sessions that wait are told so, transactions may finish."""
        if not self.stopping:
            self.stopping = True
            self.signal(signal.SIGTERM)


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
    read: tuple[tuple[str, int, int, int, int], ...] = ()
    """How the files that its processes have read were when they were last found good (see `renewal`)."""
    generation: int = 0
    """Goes up with each change of them; children of an earlier one serve until those of this one do."""
    tickets: TicketKeys | None = None
    warm: int = field(init=False)
    """How many processes are kept ready: none where the configuration gives them nothing to do."""

    def __post_init__(self) -> None:
        self.warm = self.service.warm if self.program.needed(self.config) else 0

    def serving(self) -> list[Child]:
        """The children that take work."""
        return [child for child in self.children.values() if not child.stopping and not child.retiring]

    def current(self) -> list[Child]:
        """Those of them that have read the present files."""
        return [child for child in self.serving() if child.generation == self.generation]

    def wanted(self, now: float) -> bool:
        """Whether a warm process is missing and may be started."""
        return not self.retired and len(self.current()) < self.warm and self.throttle.allows(now)

    def crowded(self, now: float) -> bool:
        """Whether a client that waits should get a further process: all are full, or there is none."""
        serving = self.serving()
        return (
            not self.retired
            and len(self.current()) < self.service.processes
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
