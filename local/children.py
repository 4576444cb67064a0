"""The children of the local parent (`lib.process.children`), and what they are asked.

A child does one job after the other over a socket pair.  A deliverer has given up every right but its user's before it
reads its first job; `drop_privileges` verifies that.  The expander is confined as well.  A child that dies, or says
something that is no report, costs its jobs a deferral.

Jobs that need nothing beside the message may be sent before the last one is done: what waits for one user then goes
over together, and the child waits for the disk once for all of it (`filings`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import COMMAND_TIME_LIMIT, LOCAL_CONCURRENCY_LIMIT
from pillarbox.lib.ipc import ChannelClosed, Outbox, ProtocolError, close_all, encode_frame
from pillarbox.lib.process.children import Child as PooledChild
from pillarbox.lib.process.children import ChildFailed, Pool
from pillarbox.lib.store.interface import StoreError
from pillarbox.local.jobs import ADDRESSES_PER_FRAME, Begin, begin_deliverer, begin_expander, run_child
from pillarbox.local.mails import MOST_MAILS, taken_mail
from pillarbox.local.sending import Stale
from pillarbox.local.steps import ADDRESS_LIMIT, Message, Report
from pillarbox.local.users import User

MOST_IDLE: Final = 100
"""Children that wait at most, or `local_concurrency_limit` where that is less."""
MOST_COMMANDS: Final = 5
"""Commands that one forward file may run to their time limit before its process counts as stuck."""
GRACE: Final = 120.0
"""Seconds for everything but commands: locks, a slow disk."""
EXPANDERS: Final = 4
"""Processes that expand at once, and as many that send on."""

Put = Callable[[list[str]], Awaitable[None]]
Feed = Callable[[Put], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes with a job besides the message: `descriptors`; `feed`, which gives the addresses that the job needs;
    `put`, which takes those that it finds, as they come; `lock`, which is held from when the child asks until its
    report."""

    descriptors: Sequence[int] = ()
    feed: Feed | None = None
    put: Put | None = None
    lock: AbstractAsyncContextManager[None] | None = None


NOTHING: Final = Beside()


class _NotTaken(Exception):
    """A child has ended while it was fed."""


class Child(PooledChild):
    """The parent's end of one child."""

    def __init__(self, begin: Begin) -> None:
        """Fork.  `begin` runs in the child, gives up rights, and returns what serves its jobs.  Raises ChildFailed."""
        super().__init__(lambda theirs: run_child(theirs, begin))
        self._outbox = Outbox(self.channel, lambda error: None)  # `receive` ends as well
        self._line: deque[asyncio.Future[None]] = deque()
        """Who waits for the reports before theirs."""

    async def call(self, job: Mapping[str, object], message: Message, time_limit: float, beside: Beside) -> Report:
        """Have a job done, within `time_limit` seconds from when it is its turn; it is one of `jobs`.

        Raises ChildFailed, Stale, and what the functions raise that stand in `beside`; each says that the child is of
        no use any more.
        """
        try:
            fds = [message.fd, *beside.descriptors]
            self._outbox.put(encode_frame({**job, "message": message.members(), "fds": len(fds)}), fds)
            if self.jobs > 1:
                await self._turn()
            async with asyncio.timeout(time_limit):  # wait_for would make a task of it
                return await self._call(beside)
        except TimeoutError:
            self.kill()
            raise ChildFailed(f"no report within {time_limit:g} seconds") from None
        finally:
            while self._line:
                if not (next_one := self._line.popleft()).done():
                    next_one.set_result(None)
                    break

    async def _turn(self) -> None:
        """Wait until all have their reports whose jobs were sent before."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        await turn
        if self.failed:
            raise ChildFailed("a job before this one broke the process")

    async def _call(self, beside: Beside) -> Report:
        whole = Report()
        try:
            if beside.feed is not None:
                await self._outbox.flushed()
                await self._feed(beside.feed)
            async with contextlib.AsyncExitStack() as stack:
                return await self._report(whole, beside, stack)
        except (ChannelClosed, ProtocolError) as error:
            whole.drop_mails()
            raise ChildFailed(str(error)) from error
        except BaseException:
            whole.drop_mails()
            raise

    async def _report(self, whole: Report, beside: Beside, stack: contextlib.AsyncExitStack) -> Report:
        """What the child reports, piece by piece; its mails are those of `whole` from the moment when they come."""
        mails, lock = whole.mails, beside.lock
        while True:
            frame = await self.channel.receive()
            if "mail" in frame:
                mails.append(taken_mail(frame))
                if len(mails) > MOST_MAILS:
                    raise ProtocolError(f"a filter sends {MOST_MAILS} mails at most")
                continue
            close_all(frame.fds)  # nothing else brings any
            if "lock" in frame:
                await self.channel.send({"why": await _locked(lock, stack)})
                lock = None
                continue
            if "failed" in frame:
                raise ChildFailed(frame.text("failed"))
            if frame.boolean("stale", False):
                raise Stale(frame.text("why", ""))
            part = Report.parse(frame)
            if beside.put is not None and part.forward:
                await beside.put(part.forward)
                part.forward = []
            part.forward[:0] = whole.forward
            if len(part.forward) > ADDRESS_LIMIT + ADDRESSES_PER_FRAME:
                raise ProtocolError(f"a child reports {ADDRESS_LIMIT} addresses at most")
            part.mails = mails
            whole = part
            if not frame.boolean("more", False):
                return whole

    async def _feed(self, feed: Feed) -> None:
        async def put(addresses: list[str]) -> None:
            try:
                await self.channel.send({"addresses": addresses, "more": True})
            except ChannelClosed:
                raise _NotTaken from None

        with contextlib.suppress(_NotTaken):  # it has said why, perhaps
            await feed(put)
            with contextlib.suppress(ChannelClosed):
                await self.channel.send({"addresses": [], "more": False})


async def _locked(lock: AbstractAsyncContextManager[None] | None, stack: contextlib.AsyncExitStack) -> str:
    """Take the lock that a child asks for, if there is one; why it cannot be had, or ""."""
    try:
        if lock is not None:
            await stack.enter_async_context(lock)
    except StoreError as error:
        return str(error)
    return ""


class Children(Pool[Child]):
    """The pool: one deliverer at a time per uid, a few expanders."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(min(MOST_IDLE, config[LOCAL_CONCURRENCY_LIMIT]), clock)
        self._config = config
        self._time_limit = config[COMMAND_TIME_LIMIT] * MOST_COMMANDS + GRACE

    async def expander(self, job: Mapping[str, object], message: Message, descriptors: Sequence[int] = ()) -> Report:
        """Have an expander do a job; `descriptors` go with it.  Raises ChildFailed."""
        return await self._expander("expander", job, message, Beside(descriptors) if descriptors else NOTHING)

    async def sender(self, job: Mapping[str, object], message: Message, feed: Feed) -> Report:
        """Have an expander send a message on to addresses.  Raises ChildFailed, and what `feed` raises.

        They are others than those that expand: a list may be read slowly, and expansion must not wait for it.
        """
        return await self._expander("sender", job, message, Beside(feed=feed))

    async def _expander(self, key: str, job: Mapping[str, object], message: Message, beside: Beside) -> Report:
        begin: Begin = lambda channel, filings: begin_expander(self._config, channel)  # noqa: E731
        try:
            return await self._call(key, EXPANDERS, begin, job, message, beside)
        except Stale:
            try:
                self.drop_idle(key)
                return await self._call(key, EXPANDERS, begin, job, message, beside)
            except Stale as error:
                raise ChildFailed(str(error)) from error

    async def deliverer(
        self,
        user: User,
        job: Mapping[str, object],
        message: Message,
        put: Put | None = None,
        lock: AbstractAsyncContextManager[None] | None = None,
    ) -> Report:
        """Have `user`'s deliverer do a job.  Raises ChildFailed, and what `put` raises."""
        # All of the user is the key: who got another home directory gets another child.
        return await self._call(
            user,
            1,
            lambda channel, filings: begin_deliverer(self._config, user, channel, filings),
            job,
            message,
            NOTHING if put is None and lock is None else Beside(put=put, lock=lock),
            share=True,
        )

    async def _call(
        self,
        key: object,
        limit: int,
        begin: Begin,
        job: Mapping[str, object],
        message: Message,
        beside: Beside,
        *,
        share: bool = False,
    ) -> Report:
        return await self.use(
            key,
            limit,
            lambda: Child(begin),
            lambda child: child.call(job, message, self._time_limit, beside),
            share=share and beside is NOTHING,
        )
