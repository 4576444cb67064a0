"""Where mail goes: next hops, and the destinations whose window they share.

A destination is what has a window and a rate delay: one next hop, or a site, the servers that several next hops have in
common.  A next hop is what dies, as long as others of its site get through: the reason why mail for it is put off is
its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pillarbox.qmgr.backoff import Pace
from pillarbox.qmgr.job import Job, Peer
from pillarbox.qmgr.turns import Turns
from pillarbox.qmgr.window import Window, WindowRules

if TYPE_CHECKING:
    from pillarbox.qmgr.agents import Agent


class Destination:
    """A window, who uses it, and who has found it full.

    A peer whose turn at the agents came while the window was full waits here, in this destination's own order, and is
    woken when there is room; from then on a place is kept for it, so that nobody overtakes it.
    """

    __slots__ = (
        "_order",
        "busy",
        "dead_reason",
        "dead_until",
        "failing",
        "members",
        "pace",
        "parked",
        "paused_until",
        "site",
        "swift",
        "window",
        "woken",
    )

    def __init__(self, rules: WindowRules, order: tuple[int, int], site: str = "") -> None:
        self.site = site
        self.members = 0
        """Next hops that share it."""
        self.window = Window(rules)
        self._order = order
        self.busy = 0
        self.woken = 0
        self.parked: Turns[Peer] | None = None
        self.paused_until = 0.0
        self.failing: set[str] | None = None
        """Next hops that could not be reached since the last success, some of them."""
        self.dead_until = 0.0
        self.dead_reason = ""
        self.swift = False
        """Whether the last delivery was answered in no time."""
        self.pace: Pace | None = None
        """How slowly it is to get mail, where it has ever asked for less."""

    def has_room(self, now: float) -> bool:
        """Whether a further delivery may begin."""
        taken = self.busy + self.woken
        if taken >= self.window.size or now < self.paused_until:
            return False
        return self.pace is None or taken < self.pace.window

    @property
    def unresponsive(self) -> bool:
        """Whether as many deliveries as may be are under way, and it has not shown that they will end soon."""
        return not self.swift and self.busy >= self.window.size

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

    def take_out(self, nexthop: NextHop) -> list[Peer]:
        """The parked peers of a next hop, which leaves this destination."""
        found: list[Peer] = []
        if self.parked:
            for line in (self.parked.fresh, self.parked.bulk):
                peers = list(line)
                line.clear()
                for peer in peers:
                    (found if peer.nexthop is nexthop else line).append(peer)
        return found

    def idle(self, now: float) -> bool:
        """Whether nothing is under way or waits, not even a pause."""
        return not (self.busy or self.woken or self.parked) and now >= self.paused_until


@dataclass(eq=False, slots=True)
class NextHop:
    """One next hop of a transport; with a recipient limit of one, one `recipient` there."""

    name: str
    recipient: str
    destination: Destination
    peers: dict[Job, Peer] = field(default_factory=dict)
    failures: int = 0
    """How often it could not be reached since the last success, where it shares a destination."""
    dead_until: float = 0.0
    dead_reason: str = ""
    placed: bool = True
    """Whether it is known which destination it belongs to; until then its peers wait in `held`."""
    held: list[Peer] = field(default_factory=list)
    guide: Agent | None = None
    """Who has told its site and may still know its servers, until something was delivered."""
    asked: bool = False
    """Whether the question for its site is open."""
    site_until: float = float("inf")
    """Until when the answer holds; 0: it was never asked."""

    def dead(self, now: float) -> bool:
        """Whether deliveries are suspended."""
        return now < self.dead_until or now < self.destination.dead_until

    @property
    def reason(self) -> str:
        """Why they are, or were."""
        return self.dead_reason if self.dead_until >= self.destination.dead_until else self.destination.dead_reason

    def dies(self, reason: str, until: float) -> None:
        """Suspend deliveries."""
        self.dead_until, self.dead_reason = until, reason

    def revive(self) -> None:
        """Take deliveries up again."""
        self.dead_until = self.destination.dead_until = 0.0

    def forgettable(self, now: float) -> bool:
        """Whether nothing but what was learned would be lost with it."""
        if self.peers or self.asked or self.dead(now):
            return False
        return self.destination.members > 1 or self.destination.idle(now)
