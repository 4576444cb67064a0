"""What the queue manager asks of `bounce`: keep the reasons, and tell the sender.

A request that fails is logged and answered with False; the recipient then stays deferred, so that nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pillarbox.lib.clients.bounce import AsyncBounceClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.bounce import DELAY_WARNING_TIME
from pillarbox.lib.delivery.result import Result
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient
from pillarbox.qmgr.message import ActiveMessage


class Failures:
    """The reports of one queue manager."""

    def __init__(self, config: Config, client: AsyncBounceClient) -> None:
        self._client = client
        self._warn_after = config[DELAY_WARNING_TIME]
        self._tasks: set[asyncio.Task[bool]] = set()

    async def report(self, message: ActiveMessage, stored: StoredRecipient, result: Result) -> bool:
        """Note what the sender is to be told of one recipient."""
        message.has_logs = message.has_reports = True
        return await self._try(message, self._client.append("bounce", message.queue_id, stored.recipient, result))

    async def deferred(
        self, message: ActiveMessage, stored: StoredRecipient, result: Result, until: float = 0.0
    ) -> bool:
        """Note why a recipient waits; the first note of a pass for all recipients replaces those of the last one.

        `until`: when it is given up, where its destination has a lifetime of its own; else 0.
        """
        message.has_logs = True
        async with message.reporting:
            first, message.reasons_begun = not message.reasons_begun, True
            request = self._client.append(
                "defer",
                message.queue_id,
                stored.recipient,
                result,
                fresh=first and not message.partial,
                tidy=first and message.partial,
                until=until,
            )
            return await self._try(message, request)

    async def flush(self, message: ActiveMessage) -> bool:
        """Have the notifications written."""
        file = message.file
        return await self._try(
            message,
            self._client.flush(message.queue_id, message.envelope, file.descriptor, file.offset, file.length),
        )

    async def warn(self, message: ActiveMessage, now: float) -> None:
        """Have a delay notice written, when the message has waited long enough for one, or for longer than its sender
        thought right (by-mode N of RFC 2852)."""
        envelope = message.envelope
        by = message.deliver_by
        late = by is not None and not by.returns and by.passed(now)
        if envelope.sender and (late or (self._warn_after and now - message.since >= self._warn_after)):
            file = message.file
            await self._try(
                message, self._client.warn(message.queue_id, envelope, file.descriptor, file.offset, file.length)
            )

    def forget(self, message: ActiveMessage) -> None:
        """The message has left the queue: so may its logs.  Nobody waits for it."""
        if message.has_logs:
            task = asyncio.get_running_loop().create_task(self._try(message, self._client.forget(message.queue_id)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try(self, message: ActiveMessage, request: Awaitable[object]) -> bool:
        try:
            await request
        except (ServiceUnavailable, ProtocolError, OSError) as error:
            log.warning(f"{message.queue_id}: {error}")
            return False
        return True
