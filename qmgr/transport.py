"""One transport: which work its agents get when, and what their answers mean for the destinations.

The rota says whose turn it is (`rota.py`).  Peers of destinations that may be slow or dead wait for an agent apart from
the others, in the hall (`hall.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pillarbox.lib.config import Config
from pillarbox.lib.delivery.result import DEFERRED, SENT, Result
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient
from pillarbox.qmgr.agents import AgentPool
from pillarbox.qmgr.backoff import Pace
from pillarbox.qmgr.batches import join
from pillarbox.qmgr.destination import Destination, NextHop
from pillarbox.qmgr.hall import Hall
from pillarbox.qmgr.job import Entry, Job, Peer
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.nexthops import NextHops
from pillarbox.qmgr.occupancy import KNOWN_TIME
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.room import Pool
from pillarbox.qmgr.rota import Rota
from pillarbox.qmgr.rules import TransportRules
from pillarbox.qmgr.sites import NEVER, SiteQuestions
from pillarbox.qmgr.timers import Timers

CRASH_RETRIES = 2
"""How often a delivery that its agent did not survive is given to another one at once; then it is deferred."""

PACED = "delivery put off: the destination has asked for less mail, and much is waiting for it"

CRASH_PAUSE = 1.0
"""Seconds before such a repetition."""

UNAVAILABLE = "mail transport unavailable"


UNRESPONSIVE = "the deliveries before this one are waiting for an answer"
"""Why mail is put off that would lie in a crowded active queue behind others to the same destination."""


class Outcomes(Protocol):
    """Who records what became of an entry (`settling.py`)."""

    @property
    def crowded(self) -> bool:
        """Whether there is room in the active queue only for what has a prospect."""

    def settle(self, entry: Entry, results: list[Result]) -> None:
        """An agent has answered."""

    def decide(self, entry: Entry, status: str, dsn: str, text: str, *, until: float = 0.0) -> None:
        """No agent has: all recipients of the entry get this result; `until`: they wait for that time."""

    def too_late(self, entry: Entry) -> bool:
        """Whether the time for delivery is over; the entry is settled then."""


class Transport:
    """One transport; `pool` is None where master.yaml has no such service."""

    def __init__(
        self,
        name: str,
        config: Config,
        outcomes: Outcomes,
        policy: DeliveryPolicy,
        clock: Callable[[], float],
        timers: Timers,
    ) -> None:
        self.name = name
        self.rules = TransportRules.of(config, name)
        self.recipients = Pool(config, name)
        self._outcomes = outcomes
        self._policy = policy
        self._pooled = name in policy.sources.pools
        self._clock = clock
        self._timers = timers
        rules = self.rules
        self.nexthops = NextHops(rules.windows, rules.order, rules.dead_pause, clock)
        self._rota = Rota(rules.order, rules.fresh_until)
        self._paused_until = 0.0
        self._dead_until = 0.0
        self._dispatch_asked = False
        self.stopping = False
        self.pool: AgentPool | None = None
        self._hall: Hall | None = None
        if name in config.services:
            self.pool = AgentPool(
                config,
                name,
                finished=self._finished,
                lost=self._lost,
                room=self._agents_changed,
                unavailable=self._unavailable,
            )
            self._hall = Hall(self.pool, self.rules.order, timers, self.ask_dispatch)
        self._sites: SiteQuestions | None = None
        if self.pool is not None and rules.sites:
            self._sites = SiteQuestions(self.pool, clock, timers, self._placed)

    # --- what waits
    def add(self, message: ActiveMessage, nexthop: str, recipients: list[StoredRecipient], limit: int = 0) -> None:
        """Recipients of a message that go to `nexthop` together, at most `limit` in one request (0: the usual)."""
        for job in message.jobs:
            if job.transport is self:
                break
        else:
            job = Job(message, self)
            message.jobs = (*message.jobs, job)
        job.recipients += len(recipients)
        self.recipients.in_core += len(recipients)
        one = recipients[0].recipient.address if self.rules.recipient_limit == 1 else ""
        there = self._towards(nexthop, one)
        peer = there.peers.get(job)
        if peer is None or not peer.entries or not join(peer.entries[-1], recipients, limit or self.rules.batch):
            self._enqueue(Entry(job, there, recipients), peer)

    def nexthop(self, name: str, recipient: str = "") -> NextHop:
        """What is known of a next hop."""
        nexthop = self.nexthops.known.get((name, recipient))
        if nexthop is None:
            nexthop = self.nexthops.get(name, recipient)
            self._paced(nexthop)
            if self._sites is not None:
                self._sites.begin(nexthop)
        return nexthop

    def _towards(self, name: str, recipient: str) -> NextHop:
        """A next hop that mail is about to wait for; asks for its site where that is not known, or no longer."""
        nexthop = self.nexthop(name, recipient)
        if nexthop.site_until < NEVER and self._sites is not None and nexthop.site_until <= self._clock():
            self._sites.ask(nexthop)
        return nexthop

    def _placed(self, nexthop: NextHop, site: str) -> None:
        """It is known, or taken as known, which destination a next hop belongs to."""
        moved = self.nexthops.join(nexthop, site)
        held, nexthop.held = nexthop.held, []
        self._paced(nexthop)
        if nexthop.dead(self._clock()):
            self._give_up(nexthop, "4.4.1", _suspended(nexthop.reason))
        for peer in (*moved, *held):
            if peer.entries:
                self._rota.stand_in(peer)
        self.ask_dispatch()

    def _enqueue(self, entry: Entry, peer: Peer | None = None) -> None:
        """Let an entry wait for its turn, or put it off; `peer` is its peer where that is known."""
        now = self._clock()
        if now < self._dead_until:
            self._put_off(entry, "4.3.0", UNAVAILABLE)
            return
        job, nexthop = entry.job, entry.nexthop
        destination = nexthop.destination
        if now < nexthop.dead_until or now < destination.dead_until:
            self._suspend(entry, nexthop.reason)
            return
        if not destination.swift and destination.unresponsive and self._outcomes.crowded:
            self._suspend(entry, UNRESPONSIVE)
            return
        peer = peer or nexthop.peers.get(job)
        pace = destination.pace
        if pace is not None and peer is None and len(nexthop.peers) >= pace.backlog:
            self._put_off(entry, "4.4.5", PACED)
            return
        if peer is None:
            peer = nexthop.peers[job] = Peer(job, nexthop)
            if nexthop.placed:
                self._rota.stand_in(peer)
            else:
                nexthop.held.append(peer)
        peer.entries.append(entry)
        self.ask_dispatch()

    def _suspend(self, entry: Entry, reason: str) -> None:
        self._put_off(entry, "4.4.1", _suspended(reason))

    def site(self, nexthop: str) -> str:
        """The site that a next hop belongs to, as far as it is known; "" where it is its own."""
        found = self.nexthops.known.get((nexthop, ""))
        return "" if found is None else found.destination.site

    def _paced(self, nexthop: NextHop) -> Pace | None:
        """Let a destination know how slowly it is to get mail."""
        nexthop.destination.pace = pace = self._policy.pace(self.name, _called(nexthop))
        return pace

    def _put_off(self, entry: Entry, dsn: str, text: str, *, until: float = 0.0) -> None:
        self._leaves(entry)
        self._outcomes.decide(entry, DEFERRED, dsn, text, until=until)

    def _leaves(self, entry: Entry) -> None:
        """Its recipients take no more room of this transport."""
        count = len(entry.recipients)
        entry.job.recipients -= count
        self.recipients.in_core -= count

    # --- whose turn it is
    def ask_dispatch(self) -> None:
        """Hand out work within this turn of the event loop."""
        if not self._dispatch_asked:
            self._dispatch_asked = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatch_asked = False
        rota, hall, pool = self._rota, self._hall, self.pool
        if pool is None or hall is None:
            if rota:
                self._unavailable("no such service in master.yaml")
            return
        pause = self.rules.transport_rate_delay
        while (rota or hall) and not self.stopping:
            now = self._clock()
            if pause and (pool.busy or now < self._paused_until):
                return
            peer = hall.next(now) if hall else None
            agent = None if peer else pool.free_agent(True, now)
            entry = rota.take(peer) if peer else rota.next(hall, now) if agent else None
            if entry is None:
                if rota or hall:
                    hall.come_back()
                return
            known = peer is None and entry.destination is not None and entry.destination.swift
            if not known:
                guide, entry.nexthop.guide = entry.nexthop.guide, None
                agent = pool.free_agent(False, now, guide)
            assert agent is not None
            if self._outcomes.too_late(entry):  # its deadline passed while it stood in line
                self._leaves(entry)
                self._released(entry, now)
                continue
            if self._pooled and not self._sourced(entry, now):
                continue
            entry.handed = now
            try:
                agent.deliver(entry, known, now)
            except ProtocolError as error:
                log.error(f"{entry.message.queue_id}: {self.name}: {error}")
                self._released(entry, now)
                self._put_off(entry, "4.3.0", "the envelope is too large for the delivery agent")

    def _sourced(self, entry: Entry, now: float) -> bool:
        """Give an entry the source address that it goes out from; False where none may be used today."""
        assert entry.destination is not None
        destination = _called(entry.nexthop)
        chosen = self._policy.sources.choose(self.name, destination)
        assert chosen is not None
        if chosen.source is None:
            self._released(entry, now)
            self._put_off(entry, "4.7.0", chosen.text, until=chosen.until)
            return False
        most = chosen.recipients
        if most is not None and most < len(entry.recipients):
            rest, entry.recipients = entry.recipients[most:], entry.recipients[:most]
            self._enqueue(Entry(entry.job, entry.nexthop, rest))
        entry.source = self._policy.sources.begun(self.name, destination, chosen.source, len(entry.recipients))
        return True

    def _released(self, entry: Entry, now: float, results: list[Result] | None = None) -> None:
        """An entry is no longer under way; `results` say which of its recipients have got it, None: none has."""
        destination, entry.destination = entry.destination, None
        assert destination is not None
        destination.busy -= 1
        rules = self.rules
        if entry.source is not None:
            unsent = None if results is None else sum(result.status != SENT for result in results)
            self._policy.sources.ended(entry.source, unsent)
            entry.source = None
        pace = destination.pace
        if rules.rate_delay or (pace is not None and pace.level):
            destination.paused_until = now + rules.rate_delay
            if pace is not None:
                destination.paused_until = max(destination.paused_until, now + pace.interval, pace.pause_until)
            self._timers.at(destination.paused_until, lambda: self._resume(destination))
        if rules.transport_rate_delay:
            self._paused_until = now + rules.transport_rate_delay
            self._timers.at(self._paused_until, self.ask_dispatch)
        if destination.parked:
            self._rota.wake(destination, now)

    def _resume(self, destination: Destination) -> None:
        self._rota.wake(destination, self._clock())
        self.ask_dispatch()

    # --- what agents say
    def _agents_changed(self) -> None:
        """One has become known, or is gone."""
        if self._sites is not None:
            self._sites.pump()
        self.ask_dispatch()

    def _finished(self, entry: Entry, results: list[Result], site: str) -> None:
        """An agent has answered; `site` is the reason why the next hop as a whole could not be used, or ""."""
        now = self._clock()
        nexthop = entry.nexthop
        if entry.destination is not None:
            entry.destination.swift = not site and now - entry.handed < KNOWN_TIME
        # One success where nobody has ever complained says nothing of the pace.
        plain = not site and len(results) == 1 and results[0].status == SENT and nexthop.destination.pace is None
        if not plain and self._policy.heard(self.name, _called(nexthop), results, site):
            # A server that says so is there: this is no failure to reach it.
            pace = self._paced(nexthop)
            if pace is not None:
                self._give_up(nexthop, "4.4.5", PACED, keep=pace.backlog)
        elif not site:
            self.nexthops.succeeded(nexthop)
        else:
            for dead in self.nexthops.failed(nexthop, site, now):
                self._give_up(dead, "4.4.1", _suspended(dead.reason))
        self._released(entry, now, results)
        self._leaves(entry)
        self._outcomes.settle(entry, results)
        if not self._dispatch_asked:
            self.ask_dispatch()

    def _give_up(self, nexthop: NextHop, dsn: str, text: str, *, keep: int = 0) -> None:
        """All that waits for a next hop, but for the first `keep` peers, is put off."""
        for peer in list(nexthop.peers.values())[keep:]:
            del nexthop.peers[peer.job]
            entries, peer.entries = peer.entries, []
            for entry in entries:
                self._put_off(entry, dsn, text)

    def _lost(self, entry: Entry, reason: str) -> None:
        """The agent died with it.  Try another one, but not for ever: the message may be what kills them."""
        now = self._clock()
        self._released(entry, now)
        entry.crashes += 1
        if entry.crashes > CRASH_RETRIES or self.stopping:
            self._put_off(entry, "4.3.0", "unknown mail transport error")
        else:
            self._timers.at(now + CRASH_PAUSE, lambda: self._repeat(entry))

    def _repeat(self, entry: Entry) -> None:
        # Its next hop may have been forgotten meanwhile.
        entry.nexthop = self._towards(entry.nexthop.name, entry.nexthop.recipient)
        self._enqueue(entry)

    def _unavailable(self, reason: str) -> None:
        """No agent can be reached."""
        log.warning(f"mail transport {self.name} unavailable: {reason}")
        self._dead_until = self._clock() + self.rules.retry_time
        self._rota.clear()
        if self._sites is not None:
            self._sites.give_up()
        if self._hall:
            self._hall.clear()
        waiting: list[Peer] = []
        for nexthop in self.nexthops.known.values():
            waiting += nexthop.peers.values()
            nexthop.peers, nexthop.held = {}, []
            nexthop.destination.parked, nexthop.destination.woken = None, 0
        for peer in waiting:
            entries, peer.entries = peer.entries, []
            for entry in entries:
                self._put_off(entry, "4.3.0", UNAVAILABLE)

    # --- the administrator's hand
    def revive(self, *, paces: bool) -> None:
        """Forget what was taken as dead; with `paces` also the pauses that servers have asked for."""
        self._dead_until = 0.0
        now = self._clock()
        for nexthop in self.nexthops.known.values():
            nexthop.revive()
            if paces and not self.rules.rate_delay:
                self._unpause(nexthop.destination, now)
        self.ask_dispatch()

    def forget_times(self) -> None:
        """The clock was set back: nothing is dead, or pauses, any more."""
        self._dead_until = self._paused_until = 0.0
        now = self._clock()
        for nexthop in self.nexthops.known.values():
            nexthop.revive()
            self._unpause(nexthop.destination, now)
        self.ask_dispatch()

    def _unpause(self, destination: Destination, now: float) -> None:
        destination.paused_until = 0.0
        self._rota.wake(destination, now)

    @property
    def busy(self) -> int:
        """Deliveries under way."""
        return self.pool.busy if self.pool else 0

    def close(self) -> None:
        """End the connections to agents."""
        if self.pool:
            self.pool.close()


def _suspended(reason: str) -> str:
    return f"delivery temporarily suspended: {reason}"


def _called(nexthop: NextHop) -> str:
    """The name of its destination: the site, or its own."""
    return nexthop.destination.site or nexthop.name
