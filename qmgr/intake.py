"""Where messages come from: notices of cleanup, the directories, the clock, the administrator.

Notices are a courtesy: what counts is the file.  So incoming/ is looked through at start, whenever the active queue
has room again after it was full, and every `queue_run_delay`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import heapq
import os
import time
from collections import deque
from collections.abc import Callable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.qmgr import QUEUE_RUN_DELAY
from pillarbox.lib.log import log
from pillarbox.lib.queue import CorruptQueueFile, Queue, QueueFile, is_queue_id
from pillarbox.lib.queue.listing import AT_ONCE
from pillarbox.qmgr.scheduler import Scheduler
from pillarbox.qmgr.timetable import Timetable, read_due_times

ABANDONED_AFTER = 60.0
"""Seconds after which an unlocked file in the making is taken as left behind: a new one is locked a moment later."""

BURST = 20
"""Messages taken up between two looks at the sockets: some milliseconds, which is what new mail waits for old."""

STRAIN = 20
"""Messages that may wait for answers of `lookup` or `bounce` while old ones are taken up: a run over a long queue of
what can't be delivered goes on as fast as these answer, and new mail finds them nearly idle."""

BREATH = 0.002
"""Seconds until old messages are taken up again after that."""

IDLE = 1.0
"""Seconds between two looks at the clock and the directories when there is nothing to take up."""

INCOMING_AT_ONCE = 10_000
"""Names of messages in incoming/ that are kept from one look into the directory, the oldest; the rest stay where they
are until these have been taken up."""


FLUSH_BURST = 100
"""Messages that a flush looks at between two looks at the sockets."""


class Intake:
    """Feeds the scheduler; `pump` is called about once a second and after each notice."""

    def __init__(self, config: Config, timetable: Timetable, clock: Callable[[], float] = time.time) -> None:
        self._queue = Queue(config[QUEUE_DIRECTORY])
        self._run_delay = config[QUEUE_RUN_DELAY]
        self._timetable = timetable
        self._clock = clock
        self._incoming: deque[str] = deque()
        self._look_again = True
        self._next_run = 0.0
        self._old_next = False
        self.scheduler: Scheduler | None = None

    def recover(self) -> None:
        """At start: what was active is taken up anew; what a crash has left half-written is removed."""
        active = list(self._queue.ids("active"))
        for queue_id in active:
            try:
                self._queue.move(queue_id, "active", "incoming")
            except OSError as error:
                log.error(f"{queue_id}: active to incoming: {error.strerror}")
        if active:
            log.info(f"{len(active)} messages from the active queue are taken up again")
        self._purge()
        for name, when in read_due_times(f"{self._queue.directory}/deferred"):
            if is_queue_id(name):
                self._timetable.enter(name, when)

    def _purge(self) -> None:
        """Remove files in the making whose writer is gone: a living one holds a lock on its file."""
        folder = f"{self._queue.directory}/incoming"
        for name in os.listdir(folder):
            if not name.startswith("."):
                continue
            path = f"{folder}/{name}"
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if os.fstat(descriptor).st_mtime < self._clock() - ABANDONED_AFTER:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
            except OSError:
                pass
            finally:
                os.close(descriptor)

    def arrived(self, queue_ids: tuple[str, ...]) -> None:
        """cleanup has announced messages."""
        assert self.scheduler is not None
        for queue_id in queue_ids:
            if not is_queue_id(queue_id):
                log.warning("a notice names no queue id")
            elif self._incoming or not self.scheduler.admit(queue_id, "incoming"):
                self._look_again = True  # it will be found in its turn

    def look_again(self) -> None:
        """There is room again: read the directories at the next pump."""
        self._look_again = True

    def pump(self) -> float:
        """Take up what is due, a burst at most; seconds until the next look is worth while."""
        assert self.scheduler is not None
        now = self._clock()
        if not self._next_run - self._run_delay <= now < self._next_run:  # or the clock was set back
            self._next_run = now + self._run_delay
            self._look_again = True
            self._purge()
            self.scheduler.trim()
        if self._look_again and not self._incoming and not self.scheduler.full:
            self._incoming.extend(heapq.nsmallest(INCOMING_AT_ONCE, self._queue.ids("incoming")))
            self._look_again = len(self._incoming) == INCOMING_AT_ONCE
        # New mail is preferred to old, but old mail gets its turn: one of each, also where places become free singly.
        for _ in range(2 * BURST):
            if self.scheduler.full or self.scheduler.stopping:
                return IDLE
            strained = self.scheduler.asking > STRAIN or not self.scheduler.old_may_come
            turn = self._old_next or not self._incoming
            due = self._timetable.next_due(now) if turn and not strained else None
            if due is not None:
                self._old_next = False
                if not self.scheduler.admit(due, "deferred"):
                    self._timetable.enter(due, now)
                    return IDLE
            elif self._incoming:
                self._old_next = True
                if not self.scheduler.admit(self._incoming.popleft(), "incoming"):
                    self._look_again = True
                    return IDLE
            else:
                return 0.0 if self._look_again else BREATH if strained else IDLE
        return 0.0

    async def flush(self, queue_id: str, site: str) -> int:
        """Make deferred messages due at once: one, those with a recipient in the domain `site`, or all.

        What waits for its release time (RFC 4865) goes on waiting: the scheduler puts it back.
        """
        flushed = self.scheduler.flushed if self.scheduler is not None else None
        chosen = [queue_id] if queue_id else list(self._timetable)
        now = self._clock()
        count = 0
        for number, each in enumerate(chosen, 1):
            if number % FLUSH_BURST == 0:
                await asyncio.sleep(0)  # a long queue is read, but deliveries go on
            if each not in self._timetable or (site and not self._goes_to(each, site)):
                continue
            self._asked_for(each)
            self._timetable.enter(each, now)
            if flushed is not None:
                flushed.add(each)
            count += 1
        return count

    def _asked_for(self, queue_id: str) -> None:
        """All its recipients are to be tried, whatever their schedules say."""
        with contextlib.suppress(OSError):
            os.utime(self._queue.path("deferred", queue_id), (AT_ONCE, AT_ONCE))

    def _goes_to(self, queue_id: str, site: str) -> bool:
        try:
            descriptor = os.open(self._queue.path("deferred", queue_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            suffixes = (f"@{site}".lower(), f"@{site.strip('[]')}".lower())
            return any(
                not stored.done and stored.recipient.address.lower().endswith(suffixes)
                for stored in QueueFile(descriptor).recipients()
            )
        except CorruptQueueFile:
            return False
        finally:
            os.close(descriptor)

    def changed(self, queue_ids: tuple[str, ...]) -> None:
        """An administrator has moved messages: see where they are now."""
        for queue_id in queue_ids:
            if not is_queue_id(queue_id):
                continue
            self._timetable.remove(queue_id)
            if self.scheduler is not None:
                self.scheduler.forget(queue_id)
            try:
                when = os.stat(self._queue.path("deferred", queue_id)).st_mtime
            except OSError:
                continue
            self._timetable.enter(queue_id, when)
        self._look_again = True
