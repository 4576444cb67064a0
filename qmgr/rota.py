"""The rota of one transport: who waits for an agent, and whose turn it is.

A job takes its turns (`turns.py`); at its turn the next of its peers whose destination has room gives an entry.  A
peer that finds its destination full is parked there.  When a place becomes free the destination wakes one in its own
order; woken peers have had their turn at the agents already, so they alternate with the jobs whose turn it is.  Each
step costs the same, however many messages, recipients or destinations wait.

What holds (tests/qmgr/test_fairness.py): with J jobs that have something to deliver, a new message to one recipient is
given to an agent after at most 2 * (cost + 1) * (the new messages before it + 1) others, however many recipients the
others have; a message to many has its share of 1/J of the rest.
"""

from __future__ import annotations

from collections import deque

from pillarbox.qmgr.destination import Destination
from pillarbox.qmgr.hall import Hall
from pillarbox.qmgr.job import Entry, Job, Peer
from pillarbox.qmgr.turns import Turns


class Rota:
    """Peers come in by `stand_in`, or back by `wake`; entries go out by `next`."""

    def __init__(self, order: tuple[int, int], fresh_until: int) -> None:
        """`order` as in `Turns`; a job is fresh until it has been served so often."""
        self._turns: Turns[Job] = Turns(*order)
        self._fresh, self._bulk = self._turns.fresh, self._turns.bulk
        self._fresh_until = fresh_until
        self._woken: deque[tuple[Destination, Peer]] = deque()
        self._woken_next = False

    def __bool__(self) -> bool:
        return bool(self._fresh or self._woken or self._bulk)

    def stand_in(self, peer: Peer) -> None:
        """Put a peer into the ring of its job, and the job into its line."""
        job = peer.job
        job.ring.append(peer)
        if not job.queued:
            job.queued = True
            (self._fresh if job.served < self._fresh_until else self._bulk).append(job)

    def wake(self, destination: Destination, now: float) -> None:
        """Those that are parked at a destination have their turn again, as far as it has room."""
        while (peer := destination.wake(now)) is not None:
            self._woken.append((destination, peer))

    def next(self, hall: Hall, now: float) -> Entry | None:
        """The entry whose turn it is, taken out."""
        while True:
            waiting = self._fresh or self._bulk
            if self._woken and (self._woken_next or not waiting):
                if (entry := self._next_woken(hall, now)) is not None:
                    return entry
                continue
            if not waiting:
                return None
            self._woken_next = True
            line = self._turns.line()
            job = line.popleft()
            entry = self._next_of(hall, job, now)
            if entry is None:
                job.queued = False
                continue
            self._turns.served(line)
            if not job.ring:
                job.queued = False
            elif job.served < self._fresh_until:
                line.appendleft(job)
            else:
                self._bulk.append(job)
            return entry

    def _next_woken(self, hall: Hall, now: float) -> Entry | None:
        self._woken_next = False
        destination, peer = self._woken.popleft()
        destination.woken -= 1
        if not peer.entries or peer.nexthop.destination is not destination:
            if peer.entries:
                self.stand_in(peer)  # its next hop belongs to another site now
            self.wake(destination, now)
        elif not destination.has_room(now):
            destination.park_again(peer, peer.job.fresh)
        elif not hall.admits(destination, now):
            hall.enter(peer)
        else:
            return self.take(peer)
        return None

    def _next_of(self, hall: Hall, job: Job, now: float) -> Entry | None:
        """The entry of the next peer in the ring whose destination has room."""
        ring = job.ring
        while ring:
            peer = ring.pop(0)
            if not peer.entries:
                continue  # they were given up
            destination = peer.nexthop.destination
            if not destination.has_room(now):
                destination.park(peer, job.fresh)
            elif destination.swift or hall.admits(destination, now):
                return self.take(peer)
            else:
                hall.enter(peer)
        return None

    def take(self, peer: Peer) -> Entry:
        """The first entry of a peer, which takes a place of its destination from now on."""
        job, nexthop = peer.job, peer.nexthop
        entry = peer.entries.pop(0)
        if peer.entries:
            self.stand_in(peer)
        else:
            del nexthop.peers[job]
        job.served += 1
        entry.destination = destination = nexthop.destination
        destination.busy += 1
        return entry

    def clear(self) -> None:
        """All that wait here have been given up."""
        for line in (self._fresh, self._bulk):
            for job in line:
                job.ring.clear()
                job.queued = False
            line.clear()
        self._woken.clear()
