"""Delivery policy: the one place where schedules, back-off, sources and suppression meet the scheduler.

    planned     when a message that is taken up was to be tried: whoever has no point in time since is left alone
    due         whether a recipient is to be tried in this pass
    put_off     a recipient waits: until when
    heard       what an agent's answer says about the pace of a destination
    expired     whether a recipient has been tried for long enough

Where nothing is configured and no server has complained, each costs a look at an empty dictionary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pillarbox.lib.clients.suppression import AsyncSuppressionClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.delivery import (
    DELIVERY_DIRECTORY,
    DESTINATION_BACKOFF,
    DESTINATION_BACKOFF_MAXIMUM,
)
from pillarbox.lib.config.retry import RetryRule
from pillarbox.lib.delivery.result import DEFERRED, SENT, Result
from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.listing import AT_ONCE
from pillarbox.qmgr import replies
from pillarbox.qmgr.backoff import Backoff, Pace
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.replies import Advice, Kind
from pillarbox.qmgr.schedules import GRAIN, Schedules
from pillarbox.qmgr.sources import Sources
from pillarbox.qmgr.suppression import Suppression
from pillarbox.qmgr.waits import Waiting, Waits
from pillarbox.qmgr.warm_up import Counts

UNTRIED_LIFETIMES = 2
"""A recipient that waits for the next day because of warm_up has not been tried: that does not count against its
lifetime, but nobody is to wait for news longer than this many lifetimes."""

HEARD_LIMIT = 5
"""Complaints in one answer that are looked at: all its recipients were refused for the same reason, most likely."""


class DeliveryPolicy:
    """The parts, and what they say together."""

    def __init__(self, config: Config, queue: Queue, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._clock = clock
        self.schedules = Schedules.of(config)
        self.scheduled = self.schedules.configured
        """Whether any destination has a schedule of its own."""
        self.waits = Waits()
        self.backoff = Backoff(config[DESTINATION_BACKOFF_MAXIMUM] if config[DESTINATION_BACKOFF] else 0.0, clock)
        self.sources = Sources.of(config, Counts(config[DELIVERY_DIRECTORY]), clock)
        if self.sources.warming:
            self.sources.counts.load()
        self.suppression = Suppression(config, AsyncSuppressionClient(config))

    # --- who is due
    def planned(self, queue_id: str, source: str) -> float:
        """When a message was to be tried, AT_ONCE where all its recipients are to be tried now; before it is moved."""
        if source != "deferred" or not (self.scheduled or queue_id in self.waits):
            return AT_ONCE
        try:
            return os.stat(self._queue.path(source, queue_id)).st_mtime
        except OSError:
            return AT_ONCE

    def taken_up(self, message: ActiveMessage, planned: float) -> None:
        """The message is in active/ now."""
        waiting = self.waits.take(message.queue_id)
        if planned > AT_ONCE and planned <= message.active + GRAIN and not message.to_expire():
            message.planned = planned
            message.waiting = waiting
            message.partial = True
        else:
            self.waits.release(waiting)

    def rule(self, transport: str, nexthop: str, site: str = "") -> RetryRule | None:
        """The schedule of a destination; None where none has one."""
        return self.schedules.rule(transport, nexthop, site) if self.scheduled else None

    def due(self, message: ActiveMessage, n: int, rule: RetryRule | None) -> bool:
        """Whether a recipient is to be tried in this pass."""
        if message.planned <= AT_ONCE:
            return True
        now = self._clock()
        waiting = message.waiting
        if waiting is not None and (until := waiting.each.get(n)) is not None:
            return until <= now + GRAIN
        if rule is not None:
            return self.schedules.due(rule, message.since, message.planned, now)
        return waiting is None or waiting.others <= now + GRAIN

    # --- who waits
    def put_off(
        self, message: ActiveMessage, n: int, result: Result, rule: RetryRule | None, until: float = 0.0
    ) -> None:
        """A recipient was deferred: by its server, or by us until a certain time."""
        now = self._clock()
        when = self.schedules.next_attempt(rule, message.since, now)
        if until <= now:
            wait = replies.advice(result).wait
            until = now + wait if wait else when if rule is None and self.scheduled else 0.0
        if until:
            self._waits(message, n, until)
            when = until
        else:
            still = _still(message)
            still.others = min(when, still.others or when)
        message.tried_again_at(when)

    def _waits(self, message: ActiveMessage, n: int, until: float) -> None:
        """A recipient has a time of its own; without room for it, that of the others, or that of its schedule."""
        still = _still(message)
        if not self.waits.note(still, n, until):
            still.others = min(until, still.others or until)

    def left_alone(self, message: ActiveMessage, n: int, rule: RetryRule | None) -> None:
        """A recipient is not due in this pass."""
        waiting = message.waiting
        if waiting is not None and (until := waiting.each.get(n)) is not None:
            self._waits(message, n, until)
            when = until
        elif rule is not None:
            when = self.schedules.next_attempt(rule, message.since, self._clock())
        else:
            assert waiting is not None  # else it would be due
            _still(message).others = when = waiting.others
        message.tried_again_at(when)

    def deferred(self, message: ActiveMessage) -> None:
        """The message goes to deferred/."""
        if message.still is not None and message.still.each:
            self.waits.keep(message.queue_id, message.still)
            message.still = None

    def gone(self, message: ActiveMessage) -> None:
        """The message is no longer in active/."""
        if message.waiting is not None or message.still is not None:
            self.waits.release(message.waiting)
            self.waits.release(message.still)

    def next_attempt(self, message: ActiveMessage, now: float) -> float:
        """When a message is tried again of which no recipient has said when."""
        return self.schedules.default.next_attempt(message.since, now)

    def expired(self, message: ActiveMessage, rule: RetryRule | None, *, untried: bool) -> bool:
        """Whether a recipient has been tried for long enough; `untried`: it waits for us, not for its server."""
        now, since = self._clock(), message.since
        if untried:
            now = since + (now - since) / UNTRIED_LIFETIMES
        return self.schedules.expired(rule, message.envelope.sender, since, now)

    def end(self, message: ActiveMessage, rule: RetryRule | None) -> float:
        """When a recipient is given up, where the schedule of its destination says so; else 0."""
        return self.schedules.end(rule, message.envelope.sender, message.since)

    # --- the pace of destinations
    def heard(self, transport: str, name: str, results: Sequence[Result], site: str) -> bool:
        """An agent has answered; whether a server of the destination has asked for less mail.

        `site` is the reason why the destination as a whole took nothing, or "".
        """
        key = (transport, name)
        complaint = _complaint(results, site)
        if complaint is not None:
            return self.backoff.told(key, name, *complaint)
        if len(self.backoff) and any(result.status == SENT for result in results):
            self.backoff.succeeded(key, name)
        return False

    def pace(self, transport: str, name: str) -> Pace | None:
        """How slowly mail goes to a destination; None: as fast as it takes it."""
        return self.backoff.pace((transport, name))

    # --- now and then
    def trim(self) -> None:
        """Let destinations recover, write what is to survive a restart."""
        self.backoff.decay(lambda key: key[1] if isinstance(key, tuple) else str(key))
        self.sources.counts.save()

    def revive(self) -> None:
        """An administrator wants everything tried now."""
        self.backoff.forget()
        self.waits.forget()

    def close(self) -> None:
        """The end."""
        self.sources.counts.save()
        self.suppression.close()


def _still(message: ActiveMessage) -> Waiting:
    """Those of the message's recipients that wait for a time of their own from now on."""
    if message.still is None:
        message.still = Waiting()
    return message.still


def _complaint(results: Sequence[Result], site: str) -> tuple[Advice, str] | None:
    """The first answer that asks for less mail, and its text."""
    if site:
        advice = replies.of_reason(site)
        return (advice, site) if advice.kind is Kind.RATE else None
    looked_at = 0
    for result in results:
        if result.status != DEFERRED:
            continue
        advice = replies.advice(result)
        if advice.kind is Kind.RATE:
            return advice, result.text
        looked_at += 1
        if looked_at == HEARD_LIMIT:
            break
    return None
