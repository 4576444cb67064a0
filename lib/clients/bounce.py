"""Clients of `bounce`, which keeps the reasons and writes to senders.

A queue manager's pass over a message goes like this:

    append("defer" or "bounce", ...)   as results come in; answered when it is on disk
    flush(...)                         at the end of the pass, if anything was appended to "bounce": the reports on
                                       failures and, where senders asked, successes are queued, the log goes
    warn(...)                          when it has waited for long: from the log "defer", once in a message's life
    forget(queue_id)                   when the message leaves the queue

`bounce` decides itself who gets a report (NOTIFY, null senders): callers append everything.
"""

from __future__ import annotations

import asyncio
import time

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import NoAnswer, TaggedConnection
from pillarbox.lib.config import Config
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, Result
from pillarbox.lib.delivery.result import EXPANDED as HANDED_EXPANDED
from pillarbox.lib.delivery.result import TRACED as HANDED_TRACED
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.outcomes import DELAYED, DELIVERED, EXPANDED, FAILED, RELAYED, TRACED, Outcome

SERVICE = "bounce"

ANSWER_TIMEOUT = 120.0
"""Seconds to wait for an answer or a sign that it is being worked on: a report goes through cleanup to a busy disk."""

NO_REPORTS = "["
"""Occurs in the relay of a result exactly when the message went to another system: `host[address]:port`."""


def outcome(kind: str, recipient: Recipient, result: Result, when: float, until: float = 0.0) -> Outcome:
    """A delivery result at `when` as an outcome for the log of that kind.

    A deferral in the log "bounce" is one of a message that has expired: `failed`.  A success at another system is
    `relayed`, at ours `delivered` (RFC 3464 section 2.3.3).  It is `traced` where the sender hears of it unless
    NOTIFY is NEVER.  `until`: when one that waits is given up, where its destination has a lifetime of its own.
    """
    if result.status == BOUNCED or (result.status == DEFERRED and kind == "bounce"):
        action = FAILED
    elif result.status == DEFERRED:
        action = DELAYED
    elif result.handed:
        action = {HANDED_TRACED: TRACED, HANDED_EXPANDED: EXPANDED}.get(result.handed, RELAYED)
    else:
        action = RELAYED if NO_REPORTS in result.relay else DELIVERED
    return Outcome(
        recipient,
        result.n,
        action,
        result.dsn,
        result.text,
        when,
        result.relay,
        result.remote_mta,
        result.diagnostic,
        until,
    )


def _append_frame(
    kind: str,
    queue_id: str,
    recipient: Recipient,
    result: Result,
    when: float,
    fresh: bool,
    tidy: bool = False,
    until: float = 0.0,
) -> dict[str, object]:
    members = outcome(kind, recipient, result, when, until).members()
    frame: dict[str, object] = {"do": "append", "id": queue_id, "kind": kind, "fresh": fresh, "outcome": members}
    return {**frame, "tidy": True} if tidy else frame


def _report_frame(verb: str, queue_id: str, envelope: Envelope, offset: int, length: int) -> dict[str, object]:
    return {"do": verb, "id": queue_id, "envelope": envelope.members(), "offset": offset, "length": length}


def _read_frame(kind: str, queue_id: str, skip: int) -> dict[str, object]:
    return {"do": "read", "id": queue_id, "kind": kind, "skip": skip}


def _checked(reply: Attributes) -> Attributes:
    if not reply.boolean("ok"):
        raise ServiceUnavailable(f"bounce: {reply.text('why', 'refused')}")
    return reply


class BounceClient:
    """A blocking client; keeps its connection.  Every method raises ServiceUnavailable: then nothing was reported."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)
        self._channel: Channel | None = None

    def append(self, kind: str, queue_id: str, recipient: Recipient, result: Result, *, fresh: bool = False) -> None:
        """Add to the log of `kind` "defer" or "bounce"; `fresh` empties it first.  On disk when this returns."""
        self._call(_append_frame(kind, queue_id, recipient, result, time.time(), fresh))

    def flush(self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int) -> tuple[str, ...]:
        """Queue the reports that the log "bounce" calls for and remove it; the queue ids of the reports.

        `descriptor` is the message's open queue file and stays the caller's; content from `offset`, `length` bytes.
        """
        return self._call(_report_frame("flush", queue_id, envelope, offset, length), descriptor).texts("ids")

    def warn(self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int) -> tuple[str, ...]:
        """Queue a warning from the log "defer", unless one was sent before."""
        return self._call(_report_frame("warn", queue_id, envelope, offset, length), descriptor).texts("ids")

    def forget(self, queue_id: str) -> None:
        """Remove both logs of a message."""
        self._call({"do": "forget", "id": queue_id})

    def read(self, kind: str, queue_id: str) -> list[Outcome]:
        """The latest outcome of each recipient in a log."""
        found: list[Outcome] = []
        while True:
            reply = self._call(_read_frame(kind, queue_id, len(found)))
            found += [Outcome.parse(item) for item in reply.groups("outcomes")]
            if not reply.boolean("more"):
                return found

    def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call(self, request: dict[str, object], descriptor: int = -1) -> Attributes:
        fds = (descriptor,) if descriptor >= 0 else ()
        for fresh in (self._channel is None, True):
            try:
                if self._channel is None:
                    self._channel = Channel.connect(self._path, ANSWER_TIMEOUT)
                self._channel.send({**request, "tag": 0}, fds)
                reply = self._channel.receive()
                while reply.boolean("working", False):
                    reply = self._channel.receive()
                break
            except (ChannelClosed, ProtocolError) as error:
                self.close()
                if fresh:
                    raise ServiceUnavailable(f"bounce: {error}") from None
        return _checked(reply)


class AsyncBounceClient:
    """The same with coroutines; any number of calls may run at once."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)
        self._connection: TaggedConnection | None = None
        self._connecting = asyncio.Lock()

    async def append(
        self,
        kind: str,
        queue_id: str,
        recipient: Recipient,
        result: Result,
        *,
        fresh: bool = False,
        tidy: bool = False,
        until: float = 0.0,
    ) -> None:
        """See `BounceClient.append`; so for every method here.  `until` is that of `outcome`."""
        await self._call(_append_frame(kind, queue_id, recipient, result, time.time(), fresh, tidy, until))

    async def flush(
        self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int
    ) -> tuple[str, ...]:
        """As above, for a queue file: of failures the sender is told where the recipient is marked done in it."""
        request = {**_report_frame("flush", queue_id, envelope, offset, length), "marked": True}
        return (await self._call(request, descriptor)).texts("ids")

    async def warn(
        self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int
    ) -> tuple[str, ...]:
        return (await self._call(_report_frame("warn", queue_id, envelope, offset, length), descriptor)).texts("ids")

    async def forget(self, queue_id: str) -> None:
        await self._call({"do": "forget", "id": queue_id})

    async def read(self, kind: str, queue_id: str) -> list[Outcome]:
        found: list[Outcome] = []
        while True:
            reply = await self._call(_read_frame(kind, queue_id, len(found)))
            found += [Outcome.parse(item) for item in reply.groups("outcomes")]
            if not reply.boolean("more"):
                return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.fail(ChannelClosed("the client was closed"))
            self._connection = None

    async def _call(self, request: dict[str, object], descriptor: int = -1) -> Attributes:
        fds = (descriptor,) if descriptor >= 0 else ()
        again = True
        while True:
            fresh = False
            try:
                async with self._connecting:
                    if self._connection is None or self._connection.broken:
                        fresh = True
                        channel = await AsyncChannel.connect(self._path, ANSWER_TIMEOUT)
                        self._connection = TaggedConnection(channel, ANSWER_TIMEOUT)
                    connection = self._connection
                return _checked(await connection.ask({**request}, fds))
            except NoAnswer:
                raise ServiceUnavailable("bounce: no answer in time") from None
            except OSError as error:
                raise ServiceUnavailable(f"bounce: {error.strerror or error}") from None
            except (ChannelClosed, ProtocolError) as error:
                if fresh or not again:
                    raise ServiceUnavailable(f"bounce: {error}") from None
                again = False
