"""The next hops of one transport: what is known of each, which share a site, and when one of them is dead.

The window belongs to the destination, and so to all next hops of a site.  Death belongs to the next hop that could not
be reached: after as many failures with no success between as its window has places to begin with, times
`failed_cohort_limit`.  Only when SEVERAL next hops of a site have failed with no success at the site between, and as
often as the window says, is the whole site dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pillarbox.qmgr.destination import Destination, NextHop
from pillarbox.qmgr.job import Peer
from pillarbox.qmgr.window import WindowRules

REMEMBERED = 1000
"""Next hops without work that are kept in memory for what was learned about them."""

SEVERAL = 3
"""So many next hops of a site that fail are not the fault of one customer of a provider."""


class NextHops:
    """The register.  `dead_pause` is in seconds."""

    def __init__(
        self, rules: WindowRules, order: tuple[int, int], dead_pause: float, clock: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._order = order
        self._dead_pause = dead_pause
        self._clock = clock
        self._sweep_at = REMEMBERED
        self.known: dict[tuple[str, str], NextHop] = {}
        self.sites: dict[str, Destination] = {}

    def get(self, name: str, recipient: str = "") -> NextHop:
        """What is known of a next hop; a new one is a destination of its own."""
        key = (name, recipient)
        nexthop = self.known.get(key)
        if nexthop is None:
            self._sweep()
            destination = Destination(self._rules, self._order)
            destination.members = 1
            nexthop = self.known[key] = NextHop(name, recipient, destination)
        return nexthop

    def _sweep(self) -> None:
        """Keep a next hop in memory only while there is something to remember."""
        if len(self.known) < self._sweep_at:
            return
        now = self._clock()
        for key, one in list(self.known.items()):
            if one.forgettable(now):
                self._leave(one.destination)
                del self.known[key]
        self._sweep_at = max(REMEMBERED, 2 * len(self.known))

    # --- sites
    def join(self, nexthop: NextHop, site: str) -> Sequence[Peer]:
        """The next hop belongs to `site`, or with "" to none.  Peers that were parked must take their turns again."""
        old = nexthop.destination
        if old.site == site:
            return ()
        if not site:
            new = Destination(self._rules, self._order)
        elif site in self.sites:
            new = self.sites[site]
        elif not old.site:
            old.site = site  # what was its own becomes the site's
            self.sites[site] = old
            return ()
        else:
            new = self.sites[site] = Destination(self._rules, self._order, site)
        self._leave(old)
        new.members += 1
        nexthop.destination = new
        return old.take_out(nexthop)

    def _leave(self, destination: Destination) -> None:
        destination.members -= 1
        if not destination.members and destination.site:
            del self.sites[destination.site]

    # --- what deliveries show
    def succeeded(self, nexthop: NextHop) -> None:
        """A delivery has reached it."""
        destination = nexthop.destination
        destination.window.succeeded(destination.busy)
        if destination.failing:
            destination.failing.clear()
        if nexthop.failures or nexthop.dead_until or destination.dead_until:
            nexthop.failures = 0
            nexthop.revive()

    def failed(self, nexthop: NextHop, reason: str, now: float) -> Sequence[NextHop]:
        """A delivery could not reach it; the next hops that are dead now."""
        destination = nexthop.destination
        until = now + self._dead_pause
        exhausted = destination.window.failed()
        if destination.members < 2:
            if not exhausted:
                return ()
            destination.window.restart()
            nexthop.dies(reason, until)
            return (nexthop,)
        nexthop.failures += 1
        if destination.failing is None:
            destination.failing = set()
        if len(destination.failing) < SEVERAL:
            destination.failing.add(nexthop.name)
        if exhausted and len(destination.failing) >= SEVERAL:
            destination.failing.clear()
            destination.window.restart()
            destination.dead_until, destination.dead_reason = until, reason
            return [one for one in self.known.values() if one.destination is destination]
        limit = self._rules.failed_cohort_limit
        if limit and nexthop.failures >= limit * self._rules.initial:
            nexthop.failures = 0
            nexthop.dies(reason, until)
            return (nexthop,)
        return ()
