"""Runners for delivery agents: take requests from the queue manager, answer each when it is done.

An agent process serves one connection of the queue manager.  It says first how many requests it works on at once, and
how many more it lets wait for remote hosts, so that the queue manager knows how much to hand over; then it answers in
any order.  When it is told to stop it says
"bye"; the queue manager then closes its sending side, so that no request is lost between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from pillarbox.lib.config.parameters.general import SOFT_BOUNCE
from pillarbox.lib.delivery import DEFERRED, DeliveryRequest, Result
from pillarbox.lib.delivery.request import Standing, parse_request
from pillarbox.lib.delivery.result import softened
from pillarbox.lib.ipc import FRAME_LIMIT, AsyncChannel, Channel, ChannelClosed, Outbox, ProtocolError, encode_frame
from pillarbox.lib.log import log
from pillarbox.lib.process.bequest import Answered, bequeath, bequeath_all
from pillarbox.lib.process.events import serve_channels
from pillarbox.lib.process.rounds import serve_rounds
from pillarbox.lib.process.worker import Worker

Outcome = tuple[DeliveryRequest, Sequence[Result], str]
"""A request, a result for each of its recipients, and the reason why the next hop as a whole is unusable, or ""."""

BatchDelivery = Callable[[list[DeliveryRequest]], Iterable[Outcome]]
AsyncDelivery = Callable[[DeliveryRequest], Awaitable[tuple[Sequence[Result], str]]]
SiteQuestion = Callable[[str], Awaitable[tuple[str, float]]]
"""A next hop; the name of the site that it belongs to ("" = none), and for how many seconds that holds."""

INTERNAL_ERROR = "4.3.0"
BYE = {"bye": True}
_RESULT_OVERHEAD = 512
"""Bytes of a result beside its text, at most, once that is cut; the longest relay is 64 characters."""

_LONGEST_ESCAPE = 6
"""Bytes that one character may take in a frame."""

ONE_QUEUE_MANAGER = 1
"""Connections that an agent process serves; a further one of the queue manager is meant for a further process."""


def _hello(worker: Worker, capacity: int, waiting: int = 0) -> dict[str, object]:
    return {"hello": worker.service.name, "capacity": capacity, "waiting": waiting}


def reply_frame(request: DeliveryRequest, results: Sequence[Result], site: str) -> bytes:
    """The frame of an answer.  Where a remote host has said more than fits, its words are cut: it must arrive."""
    if request.soft_bounce and not request.probe:
        results = [softened(result) for result in results]
    try:
        return encode_frame({"tag": request.tag, "results": [result.frame() for result in results], "site": site})
    except ProtocolError:
        room = FRAME_LIMIT // (len(results) + 1)
        most = max(0, room - _RESULT_OVERHEAD) // _LONGEST_ESCAPE
        short = [
            replace(result, text=result.text[:most], relay=result.relay[:64], remote_mta="", diagnostic="").frame()
            for result in results
        ]
        return encode_frame({"tag": request.tag, "results": short, "site": site[:most]})


def _fault(request: DeliveryRequest, error: Exception) -> list[Result]:
    """A fault of the agent itself: nothing is bounced for it."""
    log.panic(f"{request.queue_id}: {type(error).__name__}: {error}")
    return [
        Result(recipient.n, DEFERRED, INTERNAL_ERROR, "internal error of the delivery agent")
        for recipient in request.recipients
    ]


class _AgentRounds:
    def __init__(self, worker: Worker, deliver: BatchDelivery, capacity: int) -> None:
        self._worker = worker
        self._deliver = deliver
        self._soft_bounce = worker.config[SOFT_BOUNCE]
        self._capacity = capacity
        self._waiting: list[tuple[Channel, DeliveryRequest]] = []
        self._channels: set[Channel] = set()

    def opened(self, channel: Channel) -> None:
        channel.send(_hello(self._worker, self._capacity))
        self._channels.add(channel)
        if self._worker.stopping:
            self._say_bye(channel)

    def arrived(self, channel: Channel, state: None) -> None:
        while (frame := channel.next_frame()) is not None:
            self._waiting.append((channel, parse_request(frame, time.time(), soft_bounce=self._soft_bounce)))

    def stopping(self) -> None:
        for channel in self._channels:
            self._say_bye(channel)

    @staticmethod
    def _say_bye(channel: Channel) -> None:
        channel.in_request = True  # until the queue manager has closed its side
        with contextlib.suppress(ChannelClosed):
            channel.send(BYE)

    def closed(self, channel: Channel, state: None) -> None:
        self._channels.discard(channel)
        for owner, request in self._waiting:
            if owner is channel:
                request.close()
        self._waiting = [item for item in self._waiting if item[0] is not channel]

    def round_ended(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._capacity], self._waiting[self._capacity :]
            channels = {id(request): channel for channel, request in batch}
            open_requests = {id(request): request for _, request in batch}
            replies: dict[Channel, list[bytes]] = {}
            outcomes: list[Outcome] = []
            try:
                for request, results, site in self._deliver([request for _, request in batch]):
                    replies.setdefault(channels[id(request)], []).append(reply_frame(request, results, site))
                    outcomes.append((request, results, site))
                    del open_requests[id(request)]
            except Exception as error:
                for request in open_requests.values():
                    frame = reply_frame(request, _fault(request, error), "")
                    replies.setdefault(channels[id(request)], []).append(frame)
            for channel, frames in replies.items():
                try:
                    channel.send_raw(b"".join(frames))
                except ChannelClosed:
                    log.warning("the queue manager has gone before it took the result of a delivery")
                    self._bequeath(channel, channels, outcomes)
            for _, request in batch:
                request.close()

    def _bequeath(self, gone: Channel, channels: dict[int, Channel], outcomes: list[Outcome]) -> None:
        theirs = [(request, results) for request, results, _ in outcomes if channels[id(request)] is gone]
        bequeath_all(self._worker, theirs)


def serve_agent(worker: Worker, deliver: BatchDelivery, capacity: int = 16) -> None:
    """A blocking agent.  `deliver(batch)` gets all requests that were waiting, at most `capacity`, and yields outcomes.

    The descriptors of the requests are closed afterwards.
    """
    worker.ceiling = ONE_QUEUE_MANAGER
    serve_rounds(worker, _AgentRounds(worker, deliver, capacity), descriptors=True)


def serve_async_agent(
    worker: Worker,
    deliver: AsyncDelivery,
    capacity: int = 100,
    start: Callable[[], Awaitable[None]] | None = None,
    site: SiteQuestion | None = None,
    waiting: int = 0,
) -> None:
    """An agent on an event loop: `await deliver(request)` as a task per request.

    `capacity` is how many it works on at once, `waiting` how many more may wait for remote hosts.  With `site` it also
    tells the queue manager which next hops share their servers.
    """

    async def handler(channel: AsyncChannel) -> None:
        hello = _hello(worker, capacity, waiting)
        await channel.send(hello if site is None else {**hello, "sites": True})
        outbox = Outbox(channel, lambda error: None)  # `receive` ends as well
        answered = Answered(worker, channel, outbox)
        tasks: dict[asyncio.Task[None], Standing] = {}

        def still_ordered() -> bool:
            return not channel.peer_gone

        def say_bye() -> None:
            outbox.put(encode_frame(BYE))

        async def one(request: DeliveryRequest) -> None:
            site = ""
            if channel.closed:  # nobody ordered it any more before it began
                request.close()
                return
            request.standing.ordered = still_ordered
            worker.request_started()
            results: Sequence[Result] = ()
            gone = False
            try:
                results, site = await deliver(request)
                gone = channel.peer_gone
                if gone:
                    await bequeath(worker, request, results)
            except Exception as error:
                results = _fault(request, error)
            finally:
                if gone:
                    request.close()
                else:
                    answered.keep(request, results)
                worker.request_ended()
            outbox.put(reply_frame(request, results, site))

        async def tell_site(tag: int, nexthop: str) -> None:
            assert site is not None
            try:
                name, ttl = await site(nexthop)
            except Exception as error:  # the next hop is a destination of its own then
                log.panic(f"{nexthop}: {type(error).__name__}: {error}")
                name, ttl = "", 0.0
            outbox.put(encode_frame({"tag": tag, "site": name, "ttl": ttl}))

        channel.on_drain = say_bye
        try:
            while True:
                frame = await channel.receive()
                if site is not None and frame.text("do") == "site":
                    work, standing = tell_site(frame.integer("tag"), frame.text("nexthop")), Standing(revocable=True)
                else:
                    request = parse_request(frame, time.time(), soft_bounce=soft_bounce)
                    work, standing = one(request), request.standing
                task = asyncio.get_running_loop().create_task(work)
                tasks[task] = standing
                task.add_done_callback(tasks.pop)
        except ChannelClosed:
            # The queue manager is gone.  What no one has been given yet is given up: the next queue manager has it
            # delivered.  The rest must end, or it would be delivered twice, and is left to the next one to record.
            channel.close()  # requests that were sent and not read hold the locks of their messages
            for task, standing in tasks.items():
                if standing.revocable:
                    task.cancel()
            kept = asyncio.get_running_loop().create_task(answered.bequeath())
            await asyncio.wait((*tasks, kept), timeout=worker.drain_timeout)
            await answered.bequeath()  # what was still answered meanwhile
            await outbox.flushed()

    soft_bounce = worker.config[SOFT_BOUNCE]
    worker.ceiling = ONE_QUEUE_MANAGER
    worker.sessions_may_idle = True
    serve_channels(worker, handler, start, descriptors=True)
