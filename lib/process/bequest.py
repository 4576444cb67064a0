"""What an agent has delivered and a queue manager that died has not recorded: kept for the next one, which does.

That is what was delivered when it was dead already, and what lay unread in its socket when it died (`Answered`).  See
`lib.queue.claims`.  Not for failures: these recipients are tried again.  Nor for successes that somebody wants to hear
of: their report needs the queue manager that knows the result, so these may be delivered twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence

from pillarbox.lib.delivery import SENT, DeliveryRequest, Result
from pillarbox.lib.ipc import AsyncChannel, Outbox
from pillarbox.lib.process.worker import Worker
from pillarbox.lib.queue.claims import claim, is_done

PATIENCE = 60.0
"""Seconds until a message is let go that no queue manager has taken notice of."""

BRIEF_PATIENCE = 5.0
"""The same for an agent that does nothing else meanwhile."""

_LOOK = 0.1
"""Seconds between two looks at the file."""


ANSWERED_LIMIT = 128
"""Messages that are kept open, at most, until the queue manager has read what became of them."""

READ_AGAIN = 0.01
"""Seconds between two looks whether it has."""


async def bequeath(worker: Worker, request: DeliveryRequest, results: Sequence[Result]) -> None:
    """Claim what succeeded, and keep the message locked until that is recorded, or the suite stops."""
    end = time.monotonic() + PATIENCE
    left = _claims(request, results)
    while left and time.monotonic() < end and not worker.stopping:
        await asyncio.sleep(_LOOK)
        left = _unrecorded(request, left)


class Answered:
    """The deliveries of one connection about which the queue manager was told, and has not read it.  In an event loop.

    A queue manager records an answer in the same breath in which it reads it.  While it is busy answers lie in its
    socket for some milliseconds; were the messages let go when the answer is on its way, most copies too many after its
    death would come from there.
    """

    def __init__(self, worker: Worker, channel: AsyncChannel, outbox: Outbox) -> None:
        self._worker = worker
        self._channel = channel
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._kept: deque[tuple[DeliveryRequest, Sequence[Result]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, request: DeliveryRequest, results: Sequence[Result]) -> None:
        """Takes the request over, just before its answer goes out, and closes it in its time."""
        if self._kept and not self._outbox.size and self._channel.unread == 0:
            self._let_go()  # once for all answers of one turn
        if not _claimable(request, results):
            request.close()
            return
        if len(self._kept) >= ANSWERED_LIMIT:
            self._kept.popleft()[0].close()
        self._kept.append((request, results))
        if self._timer is None:
            self._timer = self._loop.call_later(READ_AGAIN, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._outbox.size and self._channel.unread == 0:
            self._let_go()
        elif self._kept:
            self._timer = self._loop.call_later(READ_AGAIN, self._look)

    def _let_go(self) -> None:
        for request, _ in self._kept:
            request.close()
        self._kept.clear()

    async def bequeath(self) -> None:
        """The queue manager is gone: claim what it may not have recorded; all is closed afterwards."""
        if self._timer is not None:
            self._timer.cancel()
        kept = list(self._kept)
        self._kept.clear()
        try:
            await asyncio.gather(*(bequeath(self._worker, request, results) for request, results in kept))
        finally:
            for request, _ in kept:
                request.close()


def bequeath_all(worker: Worker, outcomes: Iterable[tuple[DeliveryRequest, Sequence[Result]]]) -> None:
    """The same for several deliveries of an agent without an event loop."""
    end = time.monotonic() + BRIEF_PATIENCE
    open_claims = [(request, _claims(request, results)) for request, results in outcomes]
    while any(left for _, left in open_claims) and time.monotonic() < end and not worker.stopping:
        worker.watch()
        time.sleep(_LOOK)
        open_claims = [(request, _unrecorded(request, left)) for request, left in open_claims]


def _claimable(request: DeliveryRequest, results: Sequence[Result]) -> list[int]:
    if request.probe:
        return []
    notify = {recipient.n: recipient.notify for recipient in request.recipients}
    return [result.n for result in results if result.status == SENT and not result.wanted(notify[result.n])]


def _claims(request: DeliveryRequest, results: Sequence[Result]) -> list[int]:
    done = _claimable(request, results)
    with contextlib.suppress(OSError):
        if not done or not os.fstat(request.content.fd).st_nlink:
            return []  # all was recorded: the message is gone
        for n in done:
            claim(request.content.fd, n)
        return done
    return []


def _unrecorded(request: DeliveryRequest, numbers: list[int]) -> list[int]:
    with contextlib.suppress(OSError):
        if not os.fstat(request.content.fd).st_nlink:
            return []
        return [n for n in numbers if not is_done(request.content.fd, n)]
    return []
