"""Taking messages up from incoming/ and deferred/, and reading their recipients as there is room for them.

Everything runs on one event loop; nothing here waits for a disk longer than a rename takes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import MINIMAL_BACKOFF_TIME
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, Result
from pillarbox.lib.log import log
from pillarbox.lib.queue import CorruptQueueFile, Queue
from pillarbox.lib.queue.deliver_by import EXPIRED
from pillarbox.lib.queue.listing import AT_ONCE, held_until
from pillarbox.qmgr.active import ActiveQueue
from pillarbox.qmgr.message import SHORTAGES, ActiveMessage, StillInDelivery, take_up
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.room import RecipientRoom
from pillarbox.qmgr.settling import Settling
from pillarbox.qmgr.sorting import Sorting
from pillarbox.qmgr.timers import Timers

LOCKED_PAUSE = 1.0
"""Seconds until a message that an old queue manager's agent still delivers is looked at again."""


class Admission:
    """The way into the active queue."""

    def __init__(
        self,
        config: Config,
        queue: Queue,
        active: ActiveQueue,
        sorting: Sorting,
        settling: Settling,
        room: RecipientRoom,
        policy: DeliveryPolicy,
        clock: Callable[[], float],
        timers: Timers,
    ) -> None:
        self._queue = queue
        self._active = active
        self._sorting = sorting
        self._settling = settling
        self._room = room
        self._timers = timers
        self._policy = policy
        self._clock = clock
        self._stuck_pause = config[MINIMAL_BACKOFF_TIME]

    def admit(self, queue_id: str, source: str) -> bool:
        """Take a message up from `source`; False where that is not possible now: the caller asks again later."""
        if self._active.full:
            self._active.refused()
            return False
        if queue_id in self._active.messages:
            return True
        now = self._clock()
        planned = AT_ONCE if source == "incoming" else self._policy.planned(queue_id, source)
        try:
            message = take_up(self._queue, queue_id, source, now)
        except FileNotFoundError:
            # An administrator or an earlier notice was faster; or the way back from active/ had failed.
            return source == "active" or not self._stranded(queue_id) or self.admit(queue_id, "active")
        except StillInDelivery:
            self._active.set_aside(queue_id, now + LOCKED_PAUSE, at_once=True)
            return True
        except CorruptQueueFile as error:
            self._active.corrupt(queue_id, str(error))
            return True
        except OSError as error:
            log.error(f"{queue_id}: {source}: {error.strerror}")
            if error.errno in SHORTAGES:
                return False
            # It stays where it is, and must not be in the way of others.
            if source == "deferred":
                self._active.left_where_it_is(queue_id, now + self._stuck_pause)
            return True
        if queue_id in self._active.flushed:
            self._active.flushed.discard(queue_id)
            message.flushed = True
        if source != "incoming" or queue_id in self._policy.waits:
            self._policy.taken_up(message, planned)
        self._active.add(message)
        envelope = message.envelope
        log.info(
            f"{queue_id}: from=<{envelope.sender}>, size={message.file.length}, "
            f"nrcpt={message.file.recipient_count} (queue active)"
        )
        if (envelope.release or envelope.deliver_by) and not self._in_time(message, now):
            return True
        self.read_on(message)
        return True

    def _stranded(self, queue_id: str) -> bool:
        return os.path.lexists(self._queue.path("active", queue_id))

    def _in_time(self, message: ActiveMessage, now: float) -> bool:
        """Whether the message's own times let its recipients be looked at now; if not, it waits for its release."""
        envelope = message.envelope
        if not message.released(now):
            if not message.to_expire():
                log.info(f"{message.queue_id}: from=<{envelope.sender}>, {held_until(envelope.release)}")
                self._active.forget(message)
                self._active.set_aside(message.queue_id, envelope.release)
                return False
            message.verdict = Result(0, DEFERRED, "4.3.2", "withdrawn before its release time")
            return True
        by = message.deliver_by
        if by is not None and by.returns and by.passed(now):
            message.verdict = Result(0, BOUNCED, "5.4.7", EXPIRED)  # RFC 2852 section 4: it is not delivered late
        return True

    def read_on(self, message: ActiveMessage) -> None:
        """Take in the next recipients of a message, as many as there is room for."""
        message.reading = True
        try:
            recipients = message.read_recipients(self._room.allowance(message))
        except (CorruptQueueFile, OSError) as error:
            message.corrupt, message.unread, recipients = str(error), False, []
        self._room.read(message, len(recipients))
        if expanded := [stored for stored in recipients if stored.recipient.expanded]:
            recipients = [stored for stored in recipients if not stored.recipient.expanded]
            self._settling.expanded(message, expanded)
        if not message.outstanding:
            self._settling.pass_ended(message)
        elif message.verdict is not None:
            verdict = message.verdict
            self._settling.decided(message, [(stored, replace(verdict, n=stored.n)) for stored in recipients])
            self.sorted(message)
        else:
            self._sorting.take(message, recipients)

    def sorted(self, message: ActiveMessage) -> None:
        """What was read of a message is on its way."""
        message.reading = False
        if not message.unread:
            return
        message.full_at = message.outstanding
        if self._room.allowance(message):
            self._soon(message)
        else:
            self._timers.at(self._clock() + self._room.refill_delay(message), lambda: self._refill(message))

    def more(self, message: ActiveMessage) -> None:
        """Recipients of a message with unread ones are done: read more when enough of them are."""
        if message.reading or message.outstanding > max(0, message.full_at - self._room.refill_limit(message)):
            return
        if self._room.allowance(message):
            self._soon(message)

    def _refill(self, message: ActiveMessage) -> None:
        """Its time has come, however few are done."""
        if not message.unread or message.reading:
            return
        if self._room.allowance(message):
            self._soon(message)
        else:
            self._timers.at(self._clock() + self._room.refill_delay(message), lambda: self._refill(message))

    def _soon(self, message: ActiveMessage) -> None:
        # Not at once: built-in transports give their results on the spot, and this would go ever deeper.
        message.reading = True
        asyncio.get_running_loop().call_soon(self.read_on, message)
