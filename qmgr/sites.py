"""Asking agents which next hops share their servers, so that all domains of a provider are one destination.

An agent says in its greeting whether it can tell; a service for local mail does not, and is never asked.  Mail for a
new next hop is held until the answer is there, PATIENCE at most: then the next hop is a destination of its own, until
an answer comes.  An answer holds for its time to live, within bounds, and is renewed while mail goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from pillarbox.qmgr.agents import Agent, AgentPool
from pillarbox.qmgr.destination import NextHop
from pillarbox.qmgr.occupancy import Occupancy
from pillarbox.qmgr.timers import Timers

PATIENCE = 5.0
"""Seconds that mail for a new next hop waits for the answer."""

AT_ONCE, LONG = 500, 5000
"""Questions under way, each may be a look-up in the DNS; and how many more whose answer takes its time: names whose
servers do not answer are not to hold up the others (`occupancy.py`).  With 100 at once, 5,000 such names made 5,000
others take 1.7 times their time, for want of work that comes in bursts; with 500, 1.3 times."""

SHORTEST, LONGEST = 60.0, 3600.0
"""Seconds for which an answer holds."""

NEVER = float("inf")


class SiteQuestions:
    """The questions of one transport; `placed(nexthop, site)` is told each answer, "" where there is none."""

    def __init__(
        self,
        pool: AgentPool,
        clock: Callable[[], float],
        timers: Timers,
        placed: Callable[[NextHop, str], None],
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._timers = timers
        self._placed = placed
        self._waiting: deque[NextHop] = deque()
        self._open = Occupancy(AT_ONCE, LONG)
        self._number = 0
        self._pump_at = NEVER

    def begin(self, nexthop: NextHop) -> None:
        """A new next hop: mail for it is held where its site may matter."""
        if self._pool.sites is False or nexthop.recipient or nexthop.name.startswith(("[", "unix:", "inet:")):
            return
        nexthop.site_until = 0.0
        nexthop.placed = False

    def ask(self, nexthop: NextHop) -> None:
        """Ask for a site that was never asked for, or whose answer has become old."""
        if nexthop.asked:
            return
        nexthop.asked = True
        self._waiting.append(nexthop)
        if not nexthop.placed:
            self._timers.at(self._clock() + PATIENCE, lambda: self._impatient(nexthop))
        self.pump()

    def pump(self) -> None:
        """Send what may be sent; called when an agent has become known, too."""
        now = self._clock()
        self._open.age(now)
        while self._waiting and self._open.free(False) > 0:
            if self._pool.sites is False:
                nexthop = self._waiting.popleft()
                nexthop.asked = False
                nexthop.site_until = NEVER
                self._place(nexthop, "")
                continue
            agent = self._pool.any_agent()
            if agent is None:
                self._pool.free_agent(False, now)  # makes a connection
                return
            nexthop = self._waiting.popleft()
            self._number += 1
            self._open.begin(self._number, known=False, now=now)
            agent.ask_site(nexthop.name, partial(self._told, nexthop, self._number, agent))
        when = self._open.next_change() if self._waiting else None
        if when is not None and when < self._pump_at:
            self._pump_at = when
            self._timers.at(when, self._pump_later)

    def _pump_later(self) -> None:
        self._pump_at = NEVER
        self.pump()

    def _told(self, nexthop: NextHop, number: int, agent: Agent, site: str, ttl: float) -> None:
        self._open.end(number)
        nexthop.guide = agent
        nexthop.asked = False
        nexthop.site_until = self._clock() + min(max(ttl, SHORTEST), LONGEST)
        self._place(nexthop, site)
        self.pump()

    def _impatient(self, nexthop: NextHop) -> None:
        if not nexthop.placed:
            self._place(nexthop, "")

    def _place(self, nexthop: NextHop, site: str) -> None:
        nexthop.placed = True
        self._placed(nexthop, site)

    def give_up(self) -> None:
        """No agent can be reached."""
        for nexthop in self._waiting:
            nexthop.asked = False
            nexthop.placed = True
        self._waiting.clear()
