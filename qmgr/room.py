"""How many recipients are held in memory, of all messages, and how many more of one message may be read.

A message that is read in parts has its share: the limit divided by the number of such messages, so that one to a
million leaves room for others.  Each transport has a limit of its own, so that a slow one does not take it all;
messages that have had few deliveries may go beyond it by `extra`.  Whatever the limits say, a message of which nothing
is under way gets `minimum` recipients: everything goes on, and no more than

    limit + minimum * (messages in the active queue) + SLICE

recipients are ever in memory.
"""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import (
    EXTRA_RECIPIENT_LIMIT,
    QMGR_MESSAGE_RECIPIENT_LIMIT,
    QMGR_MESSAGE_RECIPIENT_MINIMUM,
    RECIPIENT_LIMIT,
    RECIPIENT_REFILL_DELAY,
    RECIPIENT_REFILL_LIMIT,
)
from pillarbox.qmgr.message import ActiveMessage

SLICE = 500
"""Recipients that are read in one go: some milliseconds.  Only when they have been sorted is it known which transports
they take room of."""


class Pool:
    """The recipients of one transport."""

    __slots__ = ("_extra", "_limit", "in_core", "refill_delay", "refill_limit")

    def __init__(self, config: Config, transport: str) -> None:
        self._limit = config.of_service(RECIPIENT_LIMIT, transport)
        self._extra = config.of_service(EXTRA_RECIPIENT_LIMIT, transport)
        self.refill_limit = config.of_service(RECIPIENT_REFILL_LIMIT, transport)
        self.refill_delay = config.of_service(RECIPIENT_REFILL_DELAY, transport)
        self.in_core = 0

    def allowance(self, fresh: bool, own: int, sharers: int) -> int:
        """How many more a message may bring that has `own` recipients here and is one of `sharers`."""
        if fresh:
            return (self._limit + self._extra - self.in_core) // 2
        return min(self._limit // sharers - own, self._limit - self.in_core)


class RecipientRoom:
    """The memory for recipients."""

    def __init__(self, config: Config) -> None:
        self._limit = config[QMGR_MESSAGE_RECIPIENT_LIMIT]
        self._minimum = min(config[QMGR_MESSAGE_RECIPIENT_MINIMUM], self._limit)
        self._refill_limit = config[RECIPIENT_REFILL_LIMIT.default]
        self._refill_delay = config[RECIPIENT_REFILL_DELAY.default]
        self.in_core = 0
        self.unread: set[ActiveMessage] = set()
        """Messages that are read in parts."""

    def allowance(self, message: ActiveMessage) -> int:
        """How many recipients of a message may be read now."""
        own = message.outstanding
        if not own and message.file.recipient_count <= self._minimum:
            return self._minimum  # nearly every message
        sharers = len(self.unread) or 1
        allowed = min(self._limit // sharers - own, self._limit - self.in_core)
        for job in message.jobs:
            if job.recipients:
                pool = job.transport.recipients
                allowed = min(allowed, pool.allowance(job.fresh, job.recipients, sharers))
        return min(SLICE, max(allowed, 0 if own else self._minimum))

    def refill_limit(self, message: ActiveMessage) -> int:
        """How many recipients of a message must be done before more of it are read."""
        return min([job.transport.recipients.refill_limit for job in message.jobs], default=self._refill_limit)

    def refill_delay(self, message: ActiveMessage) -> float:
        """Seconds after which more of it are read even when fewer are done."""
        return min([job.transport.recipients.refill_delay for job in message.jobs], default=self._refill_delay)

    def read(self, message: ActiveMessage, count: int) -> None:
        """So many recipients of a message have been read."""
        self.in_core += count
        message.outstanding += count
        if message.unread:
            self.unread.add(message)
        elif self.unread:
            self.unread.discard(message)

    def settled(self, message: ActiveMessage, count: int) -> None:
        """So many recipients of a message are done or put off."""
        self.in_core -= count
        message.outstanding -= count
