"""Where mail goes: next hops, and the destinations whose window they share.

A destination is what has a window and a rate delay: a next hop of its own, or a site, the servers that several next
hops have in common.  A next hop is what dies: the reason why mail for it is put off is its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pillarbox.qmgr.job import Job, Peer
from pillarbox.qmgr.turns import Turns
from pillarbox.qmgr.window import Window, WindowRules


class Destination:
    """A window, who uses it, and who has found it full.

    A peer whose turn at the agents came while the window was full waits here, in this destination's own order, and is
    woken when there is room; from then on a place is kept for it, so that nobody overtakes it.
    """

    __slots__ = ("_order", "busy", "name", "parked", "paused_until", "window", "woken")

    def __init__(self, name: str, rules: WindowRules, order: tuple[int, int]) -> None:
        self.name = name
        self.window = Window(rules)
        self._order = order
        self.busy = 0
        self.woken = 0
        self.parked: Turns[Peer] | None = None
        self.paused_until = 0.0

    def has_room(self, now: float) -> bool:
        """Whether a further delivery may begin."""
        return self.busy + self.woken < self.window.size and now >= self.paused_until

    def park(self, peer: Peer, fresh: bool) -> None:
        """Let a peer wait for room."""
        if self.parked is None:
            self.parked = Turns(*self._order)
        (self.parked.fresh if fresh else self.parked.bulk).append(peer)

    def park_again(self, peer: Peer, fresh: bool) -> None:
        """Let a peer that was woken for nothing wait in front of the others."""
        self.park(peer, fresh)
        assert self.parked is not None
        (self.parked.fresh if fresh else self.parked.bulk).rotate(1)

    def wake(self, now: float) -> Peer | None:
        """The next peer for which there is room, or None."""
        parked = self.parked
        while parked and self.has_room(now):
            line = parked.line()
            peer = line.popleft()
            if peer.entries:
                parked.served(line)
                self.woken += 1
                return peer
        return None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or waits."""
        return not (self.busy or self.woken or self.parked)


@dataclass(eq=False, slots=True)
class NextHop:
    """One next hop of a transport; with a recipient limit of one, one `recipient` there."""

    name: str
    recipient: str
    destination: Destination
    peers: dict[Job, Peer] = field(default_factory=dict)
    dead_until: float = 0.0
    dead_reason: str = ""

    def dead(self, now: float) -> bool:
        """Whether deliveries are suspended."""
        return now < self.dead_until

    def dies(self, reason: str, until: float) -> None:
        """Suspend deliveries."""
        self.dead_until, self.dead_reason = until, reason

    def forgettable(self, now: float) -> bool:
        """Whether nothing but what was learned would be lost with it."""
        return not self.peers and self.destination.idle and not self.dead(now)
