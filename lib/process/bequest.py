"""What an agent has delivered when its queue manager was dead already: kept for the next one, which records it.

See `lib.queue.claims`.  Not for failures: these recipients are tried again.  Nor for successes that somebody wants to
hear of: their report needs the queue manager that knows the result, so these may be delivered twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

from pillarbox.lib.delivery import SENT, DeliveryRequest, Result
from pillarbox.lib.process.worker import Worker
from pillarbox.lib.queue.claims import claim, is_done

PATIENCE = 60.0
"""Seconds until a message is let go that no queue manager has taken notice of."""

BRIEF_PATIENCE = 5.0
"""The same for an agent that does nothing else meanwhile."""

_LOOK = 0.1
"""Seconds between two looks at the file."""


async def bequeath(worker: Worker, request: DeliveryRequest, results: Sequence[Result]) -> None:
    """Claim what succeeded, and keep the message locked until that is recorded, or the suite stops."""
    end = time.monotonic() + PATIENCE
    left = _claims(request, results)
    while left and time.monotonic() < end and not worker.stopping:
        await asyncio.sleep(_LOOK)
        left = _unrecorded(request, left)


def bequeath_all(worker: Worker, outcomes: Iterable[tuple[DeliveryRequest, Sequence[Result]]]) -> None:
    """The same for several deliveries of an agent without an event loop."""
    end = time.monotonic() + BRIEF_PATIENCE
    open_claims = [(request, _claims(request, results)) for request, results in outcomes]
    while any(left for _, left in open_claims) and time.monotonic() < end and not worker.stopping:
        worker.watch()
        time.sleep(_LOOK)
        open_claims = [(request, _unrecorded(request, left)) for request, left in open_claims]


def _claims(request: DeliveryRequest, results: Sequence[Result]) -> list[int]:
    if request.probe:
        return []
    notify = {recipient.n: recipient.notify for recipient in request.recipients}
    done = [result.n for result in results if result.status == SENT and not result.wanted(notify[result.n])]
    with contextlib.suppress(OSError):
        for n in done:
            claim(request.content.fd, n)
        return done
    return []


def _unrecorded(request: DeliveryRequest, numbers: list[int]) -> list[int]:
    with contextlib.suppress(OSError):
        return [n for n in numbers if not is_done(request.content.fd, n)]
    return []
