"""The children of the parent: one for each owner of mailboxes, who gets what waits for it as a batch.

    parent: {"do": "deliver", ..., "places", "taken", "more"} + its content    for each request of a batch
    child:  {"connect": true}                 at any time: a connection to cleanup is wanted
    parent: {"connected": true} + the connection, or {"connected": false}
    child:  {"log": texts}                    at any time
    child:  {"tag", "results"}                for each request, in any order

A child has no socket of the suite in its reach: the parent connects to cleanup for it, to nothing else.  Of the queue
it has copies of contents (`excerpt`).  What it can say is what became of the recipients that it was given.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import DAEMON_TIMEOUT
from pillarbox.lib.config.parameters.virtual import VIRTUAL_BATCH_LIMIT
from pillarbox.lib.delivery import DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.delivery.request import passed_on
from pillarbox.lib.delivery.result import parse_result
from pillarbox.lib.hosted.mailboxes import Found
from pillarbox.lib.hosted.owners import MailboxOwner
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process.children import Child, ChildFailed, Pool
from pillarbox.virtual.child import live
from pillarbox.virtual.filtering import SERVICE

MOST_IDLE: Final = 100
"""Children that wait for mail of their owners."""

MOST_CONNECTIONS: Final = 8
"""Connections to cleanup that one batch may ask for: one, and another when cleanup has ended in between."""

CONNECT_TIMEOUT: Final = 10.0


@dataclass(slots=True)
class _Part:
    """What one child does of a request."""

    members: dict[str, object]
    request: DeliveryRequest
    recipients: Sequence[DeliveryRecipient]
    done: asyncio.Future[list[Result]]


class Crew:
    """The children of one process."""

    def __init__(self, config: Config, *, confine: bool) -> None:
        self._config = config
        self._confine = confine
        self._batch = config[VIRTUAL_BATCH_LIMIT]
        self._time_limit = config[DAEMON_TIMEOUT]
        self._cleanup = config.socket_path(SERVICE)
        self._pool: Pool[Child] = Pool(MOST_IDLE)
        self._waiting: dict[MailboxOwner, deque[_Part]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tags = itertools.count(1)

    def close(self) -> None:
        """Let all children end."""
        self._pool.close()

    async def deliver(
        self, owner: MailboxOwner, request: DeliveryRequest, part: Sequence[tuple[DeliveryRecipient, Found]]
    ) -> list[Result]:
        """Have the owner's child deliver to these recipients; the results are logged.  `request` has a content that the
        child may have.  Raises ChildFailed."""
        loop = asyncio.get_running_loop()
        recipients = [recipient for recipient, _ in part]
        members = {
            **passed_on(request, recipients, next(self._tags)),
            "taken": request.taken,
            "places": [found._asdict() for _, found in part],
        }
        mine = _Part(members, request, recipients, loop.create_future())
        waiting = self._waiting.get(owner)
        if waiting is None:
            waiting = self._waiting[owner] = deque()
            task = loop.create_task(self._work(owner, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiting.append(mine)
        return await mine.done

    async def _work(self, owner: MailboxOwner, waiting: deque[_Part]) -> None:
        """Batch after batch, until nothing waits."""
        config, confine = self._config, self._confine

        def make() -> Child:
            child = Child(lambda theirs: live(theirs, config, owner, confine=confine))
            child.channel.takes_descriptors = False
            return child

        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), self._batch))]
            try:
                await self._pool.use(owner, 1, make, partial(self._in_time, batch))
            except Exception as error:
                failure = error if isinstance(error, ChildFailed) else ChildFailed(f"{type(error).__name__}: {error}")
                for part in batch:
                    if not part.done.done():
                        part.done.set_exception(failure)
        del self._waiting[owner]

    async def _in_time(self, batch: Sequence[_Part], child: Child) -> None:
        try:
            async with asyncio.timeout(self._time_limit):
                await self._converse(child, batch)
        except TimeoutError:
            child.kill()
            raise ChildFailed(f"no report within {self._time_limit:g} seconds") from None
        except (ChannelClosed, ProtocolError) as error:
            child.kill()
            raise ChildFailed(str(error)) from error

    async def _converse(self, child: Child, batch: Sequence[_Part]) -> None:
        channel = child.channel
        for number, part in enumerate(batch, 1):
            await channel.send({**part.members, "more": number < len(batch)}, [part.request.content.fd])
        expected = {part.members["tag"]: part for part in batch}
        connections = 0
        while expected:
            frame = await channel.receive()
            if "connect" in frame:
                connections += await self._connect(channel, more=connections < MOST_CONNECTIONS)
                continue
            if "log" in frame:
                for text in frame.texts("log"):
                    log.relay(text, child.pid)
                continue
            if "failed" in frame:
                raise ChildFailed(frame.text("failed"))
            answered = expected.pop(frame.integer("tag"), None)
            if answered is None:
                raise ProtocolError("a report about a request that was not made")
            results = _results(frame, answered)
            for recipient, result in zip(answered.recipients, results, strict=True):
                log_result(answered.request, recipient, result)
            if not answered.done.done():
                answered.done.set_result(results)

    async def _connect(self, channel: AsyncChannel, *, more: bool) -> bool:
        """Give the child a connection to cleanup; whether it has got one.  One that gets none has what it wanted to
        send wait: the rest of the batch may be in its mailboxes already."""
        try:
            if not more:
                raise ChannelClosed(f"a batch needs {MOST_CONNECTIONS} connections at most")
            cleanup = await AsyncChannel.connect(self._cleanup, CONNECT_TIMEOUT)
        except ChannelClosed as error:
            await channel.send({"connected": False, "why": str(error)})
            return False
        with cleanup.detach() as connection:
            connection.setblocking(True)
            await channel.send({"connected": True}, [connection.fileno()])
        return True


def _results(frame: Attributes, part: _Part) -> list[Result]:
    """The results, one for each recipient of this part and of no other.  Raises ProtocolError."""
    results = [parse_result(item) for item in frame.groups("results")]
    if [result.n for result in results] != [recipient.n for recipient in part.recipients]:
        raise ProtocolError("a report about other recipients than those asked for")
    return results
