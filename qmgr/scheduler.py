"""The scheduler: from a message in incoming/ or deferred/ to the calls of agents, and back.

    admit      take a message up, sort its recipients into jobs by (transport, next hop)
    dispatch   hand waiting jobs to agents, round-robin over destinations, within their windows
    settle     record what became of each recipient; when all are done: remove, defer or read on

Everything runs on one event loop; nothing here waits for a disk longer than a rename takes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace

from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupUnavailable, Route
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.qmgr import (
    CONCURRENCY_LIMITS,
    DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT,
    DEFAULT_DESTINATION_CONCURRENCY_LIMIT,
    DEFAULT_DESTINATION_RECIPIENT_LIMIT,
    INITIAL_DESTINATION_CONCURRENCY,
    MINIMAL_BACKOFF_TIME,
    QMGR_MESSAGE_ACTIVE_LIMIT,
    QMGR_MESSAGE_RECIPIENT_LIMIT,
    RECIPIENT_LIMITS,
    TRANSPORT_RETRY_TIME,
)
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result, format_delay
from pillarbox.lib.ipc import FRAME_LIMIT, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import CorruptQueueFile, Queue, StoredRecipient
from pillarbox.lib.queue.deliver_by import EXPIRED
from pillarbox.lib.queue.listing import held_until
from pillarbox.qmgr.agents import AgentPool
from pillarbox.qmgr.destination import Destination
from pillarbox.qmgr.failures import Failures
from pillarbox.qmgr.filter import filter_route
from pillarbox.qmgr.message import SHORTAGES, ActiveMessage, Job, StillInDelivery, take_up
from pillarbox.qmgr.retry import RetrySchedule
from pillarbox.qmgr.spares import Spares

CRASH_RETRIES = 2
"""How often a delivery that its agent did not survive is given to another one at once; then it is deferred."""

CRASH_PAUSE = 1.0
"""Seconds before such a repetition."""

REQUEST_RECIPIENTS = 200
"""Most recipients in one request to an agent, whatever the configuration allows: the answer must fit into a frame."""

REQUEST_SIZE = FRAME_LIMIT // 2
"""Bytes that the recipients of one request may take, estimated; the other half is for the envelope."""

SMALL_BATCH = 10
"""So many recipients fit without counting: their addresses have at most some thousand characters."""

REMEMBERED = 1000
"""Destinations without work that are kept in memory for what was learned about them."""

BUILT_IN = ("error", "retry", "discard")
"""Transports that need no agent: the next hop is the reason."""


class Scheduler:
    """The queue manager's heart.  `defer(queue_id, when)` is told of each message that goes to deferred/."""

    def __init__(
        self,
        config: Config,
        lookup: AsyncLookupClient,
        failures: Failures,
        defer: Callable[[str, float], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._queue = Queue(config[QUEUE_DIRECTORY])
        self._spares = Spares(self._queue, clock)
        self._lookup = lookup
        self._failures = failures
        self._defer = defer
        self._clock = clock
        self._schedule = RetrySchedule.of(config)
        self._active_limit = config[QMGR_MESSAGE_ACTIVE_LIMIT]
        self._recipient_window = config[QMGR_MESSAGE_RECIPIENT_LIMIT]
        self._transport_pause = config[TRANSPORT_RETRY_TIME]
        self._dead_pause = config[MINIMAL_BACKOFF_TIME]
        self._messages: dict[str, ActiveMessage] = {}
        self._destinations: dict[tuple[str, str], Destination] = {}
        self._ready: dict[str, deque[Destination]] = {}
        self._pools: dict[str, AgentPool] = {}
        self._dead_transports: dict[str, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_at = REMEMBERED
        self._dispatch_asked = False
        self.stopping = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when the active queue has room again after it was full."""
        self._was_full = False

    # --- admit
    @property
    def full(self) -> bool:
        """Whether the active queue takes no more messages."""
        return len(self._messages) >= self._active_limit

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(pool.busy for pool in self._pools.values()) and not self._tasks

    @property
    def asking(self) -> int:
        """How many answers of `lookup` and `bounce` are awaited."""
        return len(self._tasks)

    def knows(self, queue_id: str) -> bool:
        """Whether the message is in the active queue."""
        return queue_id in self._messages

    def admit(self, queue_id: str, source: str) -> bool:
        """Take a message up from `source`; False where that is not possible now: the caller asks again later."""
        if self.stopping or self.full:
            self._was_full = True
            return False
        if queue_id in self._messages:
            return True
        now = self._clock()
        try:
            message = take_up(self._queue, queue_id, source, now)
        except FileNotFoundError:
            # An administrator or an earlier notice was faster; or the way back from active/ had failed.
            return source == "active" or not self._stranded(queue_id) or self.admit(queue_id, "active")
        except StillInDelivery:
            self._set_aside(queue_id, now + CRASH_PAUSE * 5)
            return True
        except CorruptQueueFile as error:
            self._corrupt(queue_id, str(error))
            return True
        except OSError as error:
            log.error(f"{queue_id}: {source}: {error.strerror}")
            if error.errno in SHORTAGES:
                return False
            # It stays where it is, and must not be in the way of others.
            if source == "deferred":
                self._defer(queue_id, now + self._dead_pause)
            return True
        self._messages[queue_id] = message
        envelope = message.envelope
        log.info(
            f"{queue_id}: from=<{envelope.sender}>, size={message.file.length}, "
            f"nrcpt={message.file.recipient_count} (queue active)"
        )
        if (envelope.release or envelope.deliver_by) and not self._in_time(message, now):
            return True
        self._read_on(message)
        return True

    def _in_time(self, message: ActiveMessage, now: float) -> bool:
        """Whether the message's own times let its recipients be looked at now; if not, it waits for its release."""
        envelope = message.envelope
        if not message.released(now):
            if not message.to_expire():
                log.info(f"{message.queue_id}: from=<{envelope.sender}>, {held_until(envelope.release)}")
                self._forget(message)
                self._set_aside(message.queue_id, envelope.release)
                return False
            message.verdict = Result(0, DEFERRED, "4.3.2", "withdrawn before its release time")
            return True
        by = message.deliver_by
        if by is not None and by.returns and by.passed(now):
            message.verdict = Result(0, BOUNCED, "5.4.7", EXPIRED)  # RFC 2852 section 4: it is not delivered late
        return True

    def _stranded(self, queue_id: str) -> bool:
        return os.path.lexists(self._queue.path("active", queue_id))

    def _set_aside(self, queue_id: str, when: float) -> None:
        """Defer a message until `when`.  Where that fails, it is taken up from active/ again at that time."""
        try:
            try:
                os.utime(self._queue.path("active", queue_id), (when, when))
            finally:
                self._queue.move(queue_id, "active", "deferred")
        except FileNotFoundError:
            return  # an administrator has moved or removed it
        except OSError as error:
            log.error(f"{queue_id}: defer: {error.strerror}")
        self._defer(queue_id, when)

    def _corrupt(self, queue_id: str, reason: str) -> None:
        log.warning(f'saving corrupt file "{queue_id}" from queue "active" to queue "corrupt": {reason}')
        try:
            self._queue.move(queue_id, "active", "corrupt")
        except OSError as error:
            log.error(f"{queue_id}: corrupt: {error.strerror}")

    def _read_on(self, message: ActiveMessage) -> None:
        """Take in the next recipients of a message."""
        try:
            recipients = message.read_recipients(self._recipient_window)
        except (CorruptQueueFile, OSError) as error:
            self._corrupt(message.queue_id, str(error))
            self._forget(message)
            return
        if not recipients:
            self._pass_ended(message)
            return
        message.outstanding += len(recipients)
        if message.verdict is not None:
            for stored in recipients:
                self._decide(message, stored, replace(message.verdict, n=stored.n))
            return
        sender = message.envelope.sender
        if message.envelope.filter:
            self._divide(message, [(stored, filter_route(message.envelope.filter, stored)) for stored in recipients])
            return
        known: list[tuple[StoredRecipient, Route]] = []
        unknown: list[StoredRecipient] = []
        for stored in recipients:
            route = self._lookup.known_route(stored.recipient.address, sender)
            if route is None:
                unknown.append(stored)
            else:
                known.append((stored, route))
        if unknown:
            self._task(self._resolve(message, known, unknown))
        else:
            self._divide(message, known)

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resolve(
        self, message: ActiveMessage, known: list[tuple[StoredRecipient, Route]], unknown: list[StoredRecipient]
    ) -> None:
        sender = message.envelope.sender
        for index, stored in enumerate(unknown):
            try:
                known.append((stored, await self._lookup.resolve(stored.recipient.address, sender)))
            except (LookupUnavailable, ProtocolError) as error:
                log.warning(f"{message.queue_id}: look-up of <{stored.recipient.address}>: {error}")
                self._divide(message, known)
                reason = "address resolver failure"
                for rest in unknown[index:]:
                    self._decide(message, rest, Result(rest.n, DEFERRED, "4.3.0", reason))
                return
        self._divide(message, known)

    def _divide(self, message: ActiveMessage, routes: list[tuple[StoredRecipient, Route]]) -> None:
        """Sort recipients into jobs."""
        groups: dict[tuple[str, str], list[StoredRecipient]] = {}
        for stored, route in routes:
            if route.recipient != stored.recipient.address:
                stored = _readdressed(stored, route.recipient)
            groups.setdefault((route.transport, route.nexthop), []).append(stored)
        for (transport, nexthop), recipients in groups.items():
            if transport in BUILT_IN:
                for stored in recipients:
                    self._decide(message, stored, _built_in(transport, nexthop, stored))
                continue
            limit = self._limit(RECIPIENT_LIMITS, transport, DEFAULT_DESTINATION_RECIPIENT_LIMIT)
            for batch in _batches(recipients, min(limit or REQUEST_RECIPIENTS, REQUEST_RECIPIENTS)):
                self._enqueue(Job(message, transport, nexthop, batch))
        self._ask_dispatch()

    def _limit(self, table: dict[str, Parameter[int]], transport: str, default: Parameter[int]) -> int:
        return self._config[table.get(transport, default)]

    # --- dispatch
    def _destination(self, transport: str, nexthop: str) -> Destination:
        key = (transport, nexthop)
        destination = self._destinations.get(key)
        if destination is None:
            limit = self._limit(CONCURRENCY_LIMITS, transport, DEFAULT_DESTINATION_CONCURRENCY_LIMIT)
            initial = self._config[INITIAL_DESTINATION_CONCURRENCY]
            initial = min(initial, limit) if limit else initial
            self._sweep()
            destination = self._destinations[key] = Destination(
                transport,
                nexthop,
                initial,
                initial,
                limit,
                self._config[DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT],
            )
        return destination

    def _sweep(self) -> None:
        """Keep a destination in memory only while there is something to remember."""
        if len(self._destinations) < self._sweep_at:
            return
        now = self._clock()
        for key, one in list(self._destinations.items()):
            if not (one.busy or one.waiting or one.queued or one.dead(now)):
                del self._destinations[key]
        self._sweep_at = max(REMEMBERED, 2 * len(self._destinations))

    def _enqueue(self, job: Job) -> None:
        now = self._clock()
        dead = self._dead_transports.get(job.transport)
        if dead is not None and now < dead[0]:
            self._decide_all(job, DEFERRED, "4.3.0", dead[1])
            return
        destination = self._destination(job.transport, job.nexthop)
        if destination.dead(now):
            self._decide_all(job, DEFERRED, "4.4.1", f"delivery temporarily suspended: {destination.dead_reason}")
            return
        destination.waiting.append(job)
        self._make_ready(destination)

    def _make_ready(self, destination: Destination) -> None:
        if not destination.queued and destination.may_start():
            destination.queued = True
            self._ready.setdefault(destination.transport, deque()).append(destination)

    def _ask_dispatch(self) -> None:
        if not self._dispatch_asked:
            self._dispatch_asked = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """One job of each ready destination in turn, while agents have room."""
        self._dispatch_asked = False
        if self.stopping:
            return
        for transport, ready in list(self._ready.items()):
            while ready:
                pool = self._pool(transport)
                if pool is None:
                    self._transport_dead(transport, "no such service in master.yaml")
                    break
                agent = pool.free_agent()
                if agent is None:
                    break
                destination = ready.popleft()
                destination.queued = False
                if not destination.may_start():
                    continue  # its window has shrunk, or its jobs were given up, while it stood in line
                job = destination.waiting.popleft()
                if job.message.envelope.deliver_by and self._too_late(job.message):
                    self._decide_all(job, BOUNCED, "5.4.7", EXPIRED)  # its deadline passed while it stood in line
                    self._make_ready(destination)
                    continue
                try:
                    agent.deliver(job)
                except ProtocolError as error:
                    log.error(f"{job.message.queue_id}: {transport}: {error}")
                    self._decide_all(job, DEFERRED, "4.3.0", "the envelope is too large for the delivery agent")
                else:
                    destination.busy += 1
                self._make_ready(destination)

    def _pool(self, transport: str) -> AgentPool | None:
        pool = self._pools.get(transport)
        if pool is None and transport in self._config.services:
            pool = self._pools[transport] = AgentPool(
                self._config,
                transport,
                finished=self._finished,
                lost=self._lost,
                room=self._ask_dispatch,
                unavailable=self._transport_dead,
            )
        return pool

    # --- settle
    def _released(self, job: Job) -> Destination:
        destination = self._destination(job.transport, job.nexthop)
        destination.busy -= 1
        return destination

    def _finished(self, job: Job, results: list[Result], site: str) -> None:
        """An agent has answered."""
        destination = self._released(job)
        if site:
            now = self._clock()
            if destination.failed(site, now, self._dead_pause):
                waiting, destination.waiting = destination.waiting, deque()
                for other in waiting:
                    reason = f"delivery temporarily suspended: {site}"
                    self._decide_all(other, DEFERRED, "4.4.1", reason)
        else:
            destination.succeeded()
        by_number = {result.n: result for result in results}
        for stored in job.recipients:
            result = by_number.get(stored.n)
            if result is None:
                result = Result(stored.n, DEFERRED, "4.3.0", "the delivery agent gave no result")
            self._record(job.message, stored, result)
        self._make_ready(destination)
        self._ask_dispatch()

    def _lost(self, job: Job, reason: str) -> None:
        """The agent died with the job.  Try another one, but not for ever: the message may be what kills them."""
        destination = self._released(job)
        job.crashes += 1
        if job.crashes > CRASH_RETRIES or self.stopping:
            self._decide_all(job, DEFERRED, "4.3.0", "unknown mail transport error")
        else:
            asyncio.get_running_loop().call_later(CRASH_PAUSE, self._again, job)
        self._make_ready(destination)

    def _again(self, job: Job) -> None:
        self._enqueue(job)
        self._ask_dispatch()

    def _transport_dead(self, transport: str, reason: str) -> None:
        """No agent of a transport can be reached."""
        log.warning(f"mail transport {transport} unavailable: {reason}")
        text = "mail transport unavailable"
        self._dead_transports[transport] = (self._clock() + self._transport_pause, text)
        for destination in list(self._destinations.values()):
            if destination.transport == transport:
                waiting, destination.waiting = destination.waiting, deque()
                for job in waiting:
                    self._decide_all(job, DEFERRED, "4.3.0", text)
        for destination in self._ready.pop(transport, ()):
            destination.queued = False

    def _decide_all(self, job: Job, status: str, dsn: str, text: str) -> None:
        for stored in job.recipients:
            self._decide(job.message, stored, Result(stored.n, status, dsn, text))

    def _decide(self, message: ActiveMessage, stored: StoredRecipient, result: Result) -> None:
        """Record a result that no agent has given, and so none has logged."""
        recipient = stored.recipient
        original = f", orig_to=<{recipient.original}>" if recipient.original not in ("", recipient.address) else ""
        delay = format_delay(max(0.0, self._clock() - message.envelope.arrival))
        log.info(
            f"{message.queue_id}: to=<{recipient.address}>{original}, relay={result.relay}, delay={delay}, "
            f"delays={delay}/0/0/0, dsn={result.dsn}, status={result.status} ({result.text})"
        )
        self._record(message, stored, result)

    def _record(self, message: ActiveMessage, stored: StoredRecipient, result: Result) -> None:
        """What became of one recipient.  Failures go to `bounce` before the recipient counts as done."""
        if result.status == SENT:
            if result.wanted(stored.recipient.notify):
                self._task(self._report(message, stored, result))
            else:
                self._done(message, stored.n)
        elif result.status == BOUNCED:
            self._task(self._report(message, stored, result))
        elif self._too_late(message):
            late = replace(result, status=BOUNCED, dsn="5.4.7", text=f"{EXPIRED}: {result.text}")
            self._task(self._report(message, stored, late))
        elif self._expired(message):
            self._task(self._report(message, stored, result))
        else:
            self._task(self._keep_reason(message, stored, result))

    def _too_late(self, message: ActiveMessage) -> bool:
        """Whether the time has passed after which the sender wants the message back (RFC 2852 section 4)."""
        by = message.deliver_by
        return by is not None and by.returns and by.passed(self._clock())

    def _expired(self, message: ActiveMessage) -> bool:
        envelope = message.envelope
        if not message.expired:
            if self._schedule.expired(envelope.sender, message.since, self._clock()):
                status = "expired"
            elif message.to_expire():
                status = "force-expired"
            else:
                return False
            message.expired = True
            log.info(f"{message.queue_id}: from=<{envelope.sender}>, status={status}, returned to sender")
        return True

    async def _report(self, message: ActiveMessage, stored: StoredRecipient, result: Result) -> None:
        """A failure, or a success that the sender asked to hear of: into the log of `bounce`, then done."""
        if await self._failures.report(message, stored, result):
            message.failed += 1
            self._done(message, stored.n)
        else:
            message.deferred += 1
            self._settled(message)

    async def _keep_reason(self, message: ActiveMessage, stored: StoredRecipient, result: Result) -> None:
        await self._failures.deferred(message, stored, result)
        message.deferred += 1
        self._settled(message)

    def _done(self, message: ActiveMessage, n: int) -> None:
        # The last recipient of a message needs no mark: the file is removed instead.
        alone = message.outstanding == 1 and not message.unread and not message.deferred and not message.failed
        if not alone:
            try:
                message.mark([n])
            except OSError as error:
                log.error(f"{message.queue_id}: a recipient could not be marked done: {error.strerror}")
        self._settled(message)

    def _settled(self, message: ActiveMessage) -> None:
        message.outstanding -= 1
        if message.outstanding:
            return
        if message.unread:
            # Not at once: built-in transports give their results on the spot, and this would go ever deeper.
            asyncio.get_running_loop().call_soon(self._read_on, message)
        else:
            self._pass_ended(message)

    def _pass_ended(self, message: ActiveMessage) -> None:
        """Nothing of the message is under way.  A former pass may have left reports that the sender has not got yet."""
        if message.failed or message.deferred or message.has_logs:
            self._task(self._finish(message))
        else:
            self._complete(message)

    async def _finish(self, message: ActiveMessage) -> None:
        """The end of a pass in which not all went well: tell the sender, then remove or defer."""
        if (message.failed or message.has_logs) and not await self._failures.flush(message):
            message.deferred += 1  # the reports stay in the log of `bounce`; the next pass sends them
        if not message.deferred:
            self._complete(message)
            return
        now = self._clock()
        when = self._schedule.next_attempt(message.since, now)
        by = message.deliver_by
        if by is not None and now < by.deadline < when:
            when = by.deadline  # what the sender is to be told then is not to wait for the next attempt
        await self._failures.warn(message, now)
        self._forget(message)
        self._set_aside(message.queue_id, when)

    def _complete(self, message: ActiveMessage) -> None:
        """All recipients are done."""
        try:
            try:
                if not self._spares.keep(message):
                    os.unlink(message.path)
            except FileNotFoundError:
                os.unlink(message.whereabouts())
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error(f"{message.queue_id}: remove: {error.strerror}")
        else:
            log.info(f"{message.queue_id}: removed")
        self._failures.forget(message)
        self._forget(message)

    def _forget(self, message: ActiveMessage) -> None:
        message.close()
        self._messages.pop(message.queue_id, None)
        if self._was_full and len(self._messages) < self._active_limit:
            self._was_full = False
            self.on_room()

    def trim(self) -> None:
        """Delete what is kept without need."""
        self._spares.trim()

    # --- the administrator's hand
    def revive(self, transports: Sequence[str] = ()) -> None:
        """Forget which transports and destinations were taken as dead, as a flush wants."""
        self._dead_transports.clear()
        for destination in self._destinations.values():
            destination.dead_until = 0.0

    def close(self) -> None:
        """End the connections to agents."""
        for pool in self._pools.values():
            pool.close()


def _batches(recipients: list[StoredRecipient], limit: int) -> Iterator[list[StoredRecipient]]:
    """The recipients in groups of at most `limit` that fit into one request."""
    if len(recipients) <= limit and len(recipients) <= SMALL_BATCH:
        yield recipients
        return
    batch: list[StoredRecipient] = []
    size = 0
    for stored in recipients:
        recipient = stored.recipient
        needs = 100 + 6 * (len(recipient.address) + len(recipient.original) + len(recipient.orcpt))
        if batch and (len(batch) >= limit or size + needs > REQUEST_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(stored)
        size += needs
    yield batch


def _readdressed(stored: StoredRecipient, address: str) -> StoredRecipient:
    recipient = stored.recipient
    original = recipient.original or recipient.address
    return StoredRecipient(stored.n, type(recipient)(address, original, recipient.orcpt, recipient.notify), stored.done)


def _built_in(transport: str, nexthop: str, stored: StoredRecipient) -> Result:
    """The result that a built-in transport stands for; `nexthop` is "[DSN] text"."""
    dsn, _, text = nexthop.partition(" ")
    if not text or not dsn[:1].isdigit():
        dsn, text = "", nexthop
    if transport == "discard":
        return Result(stored.n, SENT, dsn or "2.0.0", text or "discarded")
    if transport == "retry":
        return Result(stored.n, DEFERRED, dsn or "4.3.0", text or "mail is deferred by configuration")
    return Result(stored.n, BOUNCED, dsn or "5.0.0", text or "mail is refused by configuration")
