"""Replacing processes while the suite runs, without a word to their clients.

A process that is replaced *retires*: it takes no new sessions and ends when its last one has.  A new certificate makes
all processes of the services that use it retire, each once a new one is ready in its place; a reload makes all retire
whose programs can (`Program.retires`).  That takes as long as clients stay, but not for ever: `retire_timeout` bounds
the time and `RETIRED_LIMIT` the number; beyond either the oldest drain, as at stop.  Programs that cannot retire drain
at once: a delivery agent takes no new mail and ends with what it has.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
from collections.abc import Callable, Iterable, Sequence

from pillarbox.lib.config.parameters.general import RETIRE_TIMEOUT
from pillarbox.lib.log import log
from pillarbox.lib.process.worker import RETIRE
from pillarbox.master.renewal import ANSWER_LIMIT, TABLE, Check, RenewalWatch, what_changed
from pillarbox.master.roster import Child, Station

RETIRED_LIMIT = 16
"""Processes of one service that have retired and are not gone yet: each costs a few megabytes."""


class Replacement:
    """What master does about files that change and processes that are to go."""

    def __init__(
        self, selector: selectors.BaseSelector, clock: Callable[[], float], signals: Sequence[signal.Signals]
    ) -> None:
        self._selector = selector
        self._clock = clock
        self._signals = signals
        self._watch = RenewalWatch()
        self._check: Check | None = None

    # --- files
    def look(self, stations: Iterable[Station], now: float) -> None:
        """Look whether files have changed; one check runs at a time."""
        if self._check is None and (due := self._watch.due(stations, now)):
            self._check = self._watch.begin(due, self._signals)
            if self._check is not None:
                self._selector.register(self._check.answer, selectors.EVENT_READ, self._check)

    def rest(self, now: float) -> float:
        """Seconds until the next look; a check that runs makes itself heard."""
        return math.inf if self._check is not None else self._watch.rest(now)

    def answered(self, check: Check) -> None:
        """A check has something to say; at the end of it the services whose new files are good are renewed."""
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
        good = self._watch.ended(check)
        for word, of_it in what_changed(good):
            names = ", ".join(station.service.name for station in of_it)
            when = "" if word == TABLE else " as their sessions end"
            log.info(f"new {word}: the processes of {names} are replaced{when}")
        for station in good:
            station.generation += 1
            if not station.service.warm:
                self.relieve(station)

    def forget(self, kept: Iterable[Station]) -> None:
        """A reload has made these stations; the new processes read the files as they are now."""
        self._watch.forget(kept)

    def let_go(self) -> None:
        """In a worker: close what is master's."""
        if self._check is not None:
            os.close(self._check.answer)

    # --- processes
    def relieve(self, station: Station) -> None:
        """A process that has read the present files is ready, or none is kept ready: the earlier ones go."""
        for child in station.serving():
            if child.generation != station.generation:
                if station.program.retires:
                    self.retire(child)
                else:
                    child.drain()

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
