"""Replacing processes while the suite runs, without a word to their clients.

A process that is replaced *retires*: it takes no new sessions and ends when its last one has.  A new certificate makes
all processes of the services that use it retire, each once a new one is ready in its place; a reload makes all retire
whose programs can (`Program.retires`).  That takes as long as clients stay, but not for ever: `retire_timeout` bounds
the time and `RETIRED_LIMIT` the number; beyond either the oldest drain, as at stop.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterable, Sequence

from pillarbox.lib.config.parameters.general import RETIRE_TIMEOUT
from pillarbox.lib.log import log
from pillarbox.lib.process.worker import RETIRE
from pillarbox.master.certificates import ANSWER_LIMIT, CertificateWatch, Check
from pillarbox.master.roster import Child, Station

RETIRED_LIMIT = 16
"""Processes of one service that have retired and are not gone yet: each costs a few megabytes."""


class Replacement:
    """What master does about certificates that change and processes that are to go."""

    def __init__(
        self, selector: selectors.BaseSelector, clock: Callable[[], float], signals: Sequence[signal.Signals]
    ) -> None:
        self._selector = selector
        self._clock = clock
        self._signals = signals
        self._watch = CertificateWatch()
        self._check: Check | None = None

    # --- certificates
    def look(self, stations: Iterable[Station], now: float) -> None:
        """Look whether certificates have changed; one check runs at a time."""
        if self._check is None and (due := self._watch.due(stations, now)):
            self._check = self._watch.begin(due, self._signals)
            if self._check is not None:
                self._selector.register(self._check.answer, selectors.EVENT_READ, self._check)

    def answered(self, check: Check) -> None:
        """A check has something to say; at the end of it the services with good certificates are renewed."""
        try:
            data = os.read(check.answer, 65536)
        except BlockingIOError:
            return
        check.text += data
        if data and len(check.text) <= ANSWER_LIMIT:
            return
        self._selector.unregister(check.answer)
        os.close(check.answer)
        os.waitpid(check.pid, 0)  # it has closed its end: it is ending
        self._check = None
        if good := self._watch.ended(check):
            names = ", ".join(station.service.name for station in good)
            log.info(f"new certificate: the processes of {names} are replaced as their sessions end")
        for station in good:
            station.generation += 1
            if not station.service.warm:
                self.relieve(station)

    def forget(self, kept: Iterable[Station]) -> None:
        """A reload has made these stations; the new processes read the certificates as they are now."""
        self._watch.forget(kept)

    def let_go(self) -> None:
        """In a worker: close what is master's."""
        if self._check is not None:
            os.close(self._check.answer)

    # --- processes
    def relieve(self, station: Station) -> None:
        """A process with the present certificates is ready, or none is kept ready: the earlier ones retire."""
        for child in station.serving():
            if child.generation != station.generation:
                self.retire(child)

    def retire(self, child: Child) -> None:
        """Let a process end when its clients have gone."""
        if child.retiring or child.stopping:
            return
        child.retiring = True
        child.retired_at = self._clock()
        child.send(RETIRE)

    def bound(self, children: Iterable[Child], now: float) -> None:
        """Drain those that have been retired for too long, and the oldest where there are too many."""
        retired: dict[str, list[Child]] = {}
        for child in children:
            if child.retiring and not child.stopping:
                retired.setdefault(child.station.service.name, []).append(child)
        for group in retired.values():
            group.sort(key=lambda child: child.retired_at)
            surplus = len(group) - RETIRED_LIMIT
            for number, child in enumerate(group):
                if number < surplus or now - child.retired_at > child.station.config[RETIRE_TIMEOUT]:
                    child.drain()
