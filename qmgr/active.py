"""The active queue: the messages that are worked on, as many as the configuration allows, and the ways out of it."""

from __future__ import annotations

import os
from collections.abc import Callable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import QMGR_MESSAGE_ACTIVE_LIMIT
from pillarbox.lib.log import log
from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.listing import AT_ONCE
from pillarbox.lib.system.limits import open_files
from pillarbox.qmgr.message import ActiveMessage

OTHER_FILES = 200
"""Open files beside one for each active message: connections to agents, from cleanup, from commands."""

CROWDED = 0.75
"""Share of the active queue that old mail, and mail to destinations that do not answer, may take."""


class ActiveQueue:
    """Who is in active/.  `defer(queue_id, when)` is told of each message that goes to deferred/."""

    def __init__(self, config: Config, queue: Queue, defer: Callable[[str, float], None]) -> None:
        self._queue = queue
        self._defer = defer
        self._limit = min(config[QMGR_MESSAGE_ACTIVE_LIMIT], max(1, open_files() - OTHER_FILES))
        self._was_full = False
        self._old = 0
        self.messages: dict[str, ActiveMessage] = {}
        self.flushed: set[str] = set()
        """Messages in deferred/ that an administrator wants tried whatever defer_transports says."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when there is room again after there was none."""
        self.on_gone: Callable[[ActiveMessage], None] = lambda message: None
        """Called with each message that is no longer worked on."""

    @property
    def full(self) -> bool:
        """Whether it takes no more messages."""
        return len(self.messages) >= self._limit

    @property
    def crowded(self) -> bool:
        """Whether the rest of its room is kept for new mail, and for mail that need not wait long in it."""
        return len(self.messages) >= self._limit * CROWDED

    @property
    def old_may_come(self) -> bool:
        """Whether mail from deferred/ may take more room: it leaves some for new mail, however long it stays."""
        return self._old < self._limit * CROWDED

    def refused(self) -> None:
        """Somebody has been sent away; he is to hear of it when there is room."""
        self._was_full = True

    def add(self, message: ActiveMessage) -> None:
        """A message was taken up."""
        self.messages[message.queue_id] = message
        self._old += message.old

    def forget(self, message: ActiveMessage) -> None:
        """A message is no longer worked on."""
        message.close()
        message.jobs = ()  # they know the message: together they would live until the garbage collector comes
        if self.messages.pop(message.queue_id, None) is not None:
            self._old -= message.old
            self.on_gone(message)
        if self._was_full and len(self.messages) < self._limit:
            self._was_full = False
            self.on_room()

    def set_aside(self, queue_id: str, when: float, *, at_once: bool = False) -> bool:
        """Defer a message until `when`.  Where that fails, it is taken up from active/ again at that time; False where
        an administrator has taken it away.

        `at_once`: this pass did not come to anything, so that the next one is for all recipients again.
        """
        time = AT_ONCE if at_once else when
        try:
            try:
                os.utime(self._queue.path("active", queue_id), (time, time))
            finally:
                self._queue.move(queue_id, "active", "deferred")
        except FileNotFoundError:
            # An administrator has moved or removed it; what he has put into deferred/ meanwhile is not forgotten.
            try:
                when = os.stat(self._queue.path("deferred", queue_id)).st_mtime
            except OSError:
                return False
        except OSError as error:
            log.error(f"{queue_id}: defer: {error.strerror}")
        self._defer(queue_id, when)
        return True

    def left_where_it_is(self, queue_id: str, when: float) -> None:
        """A message in deferred/ could not be taken up: it has its next turn at `when`."""
        self._defer(queue_id, when)

    def corrupt(self, queue_id: str, reason: str) -> None:
        """Move a file that is none of ours out of the way."""
        log.warning(f'saving corrupt file "{queue_id}" from queue "active" to queue "corrupt": {reason}')
        try:
            self._queue.move(queue_id, "active", "corrupt")
        except OSError as error:
            log.error(f"{queue_id}: corrupt: {error.strerror}")
