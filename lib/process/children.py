"""Children of a root parent: forked when needed, kept warm for a while, each with the rights of one user.

A child is the other end of a socket pair.  It holds nothing of its parent but that, and gives up the parent's rights
before it reads its first job.  What the two say to each other is the program's own business (`local`, `virtual`).
A job may be given to a child that is still at work, where both sides are made for that (`Pool.use`, `share`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, Protocol, TypeVar

from pillarbox.lib.ipc import AsyncChannel, Channel

IDLE_TIME: Final = 60.0
"""Seconds for which a child waits for its next job: mail for one user comes in bursts.  A fork costs as much as ten
deliveries, the copying of what parent and child touch afterwards included."""

_HIGHEST_DESCRIPTOR: Final = 1 << 20
"""Descriptors beyond it do not exist: the kernel's default for fs.nr_open."""


class ChildFailed(Exception):
    """A child could not be made, died, or gave no proper report; nothing is known about its job."""


class Child:
    """The parent's end of one child."""

    def __init__(self, live: Callable[[socket.socket], NoReturn]) -> None:
        """Fork; `live` gets the child's end.  Raises ChildFailed."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            try:
                pid = os.fork()
            except OSError as error:
                ours.close()
                raise ChildFailed(f"cannot fork: {error.strerror}") from error
            if pid == 0:
                live(theirs)
        self.pid = pid
        self.idle_since = 0.0
        self.jobs = 0
        self.failed = False
        self.channel = AsyncChannel(ours)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end; it has no job."""
        self.channel.close()

    def reaped(self) -> bool:
        """Whether it has ended (and is off the process table)."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


def leave_parent(theirs: socket.socket) -> Channel:
    """In the child: forget the parent's signal handlers, and hold nothing of it but this; standard input and outputs
    become /dev/null."""
    for caught in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(caught, signal.SIG_DFL)
    signal.alarm(0)
    signal.set_wakeup_fd(-1)
    descriptor = theirs.fileno()
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _HIGHEST_DESCRIPTOR)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    return Channel(theirs)


class Pooled(Protocol):
    """What the pool needs of a child."""

    idle_since: float
    jobs: int
    """Jobs that it has and that are not done."""
    failed: bool
    """Whether it does no further job."""

    def close(self) -> None: ...
    def reaped(self) -> bool: ...


C = TypeVar("C", bound=Pooled)
T = TypeVar("T")


@dataclass(slots=True)
class _Desk(Generic[C]):
    """Where the jobs of one key are done."""

    turns: asyncio.Semaphore
    users: int = 0
    """Jobs that are not done."""
    waiting: int = 0
    """Those of them that have no child."""
    shared: C | None = None
    """A child at work to which further jobs may go."""


class Pool(Generic[C]):
    """Children by key.  No more than `most_idle` wait for work: those that have waited longest end."""

    def __init__(self, most_idle: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: dict[object, list[C]] = {}
        self._desks: dict[object, _Desk[C]] = {}
        self._most_idle = most_idle
        self._idle_count = 0
        self._ended: list[C] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def use(
        self, key: object, limit: int, make: Callable[[], C], job: Callable[[C], Awaitable[T]], *, share: bool = False
    ) -> T:
        """Have a child of this key do a job, at most `limit` of them at once; one that raises is not used again.

        A job with `share` may go to a child that has others of that kind, unless one without waits.  Raises
        ChildFailed, and what the job raises.
        """
        desk = self._desks.get(key)
        if desk is None:
            desk = self._desks[key] = _Desk(asyncio.Semaphore(limit))
        desk.users += 1
        try:
            child = desk.shared
            if not share or child is None or child.failed or desk.waiting:
                child = await self._own(key, desk, make)
                desk.shared = child if share else None
            child.jobs += 1
            try:
                return await job(child)
            except BaseException:
                child.failed = True
                raise
            finally:
                child.jobs -= 1
                if not child.jobs:
                    self._done(key, desk, child)
        finally:
            desk.users -= 1
            if not desk.users:
                del self._desks[key]
            self._sweep_later()

    async def _own(self, key: object, desk: _Desk[C], make: Callable[[], C]) -> C:
        """Wait for a place, which `_done` gives back, and take a child."""
        desk.waiting += 1
        try:
            await desk.turns.acquire()
        finally:
            desk.waiting -= 1
        try:
            return self._pop_idle(key) or make()
        except BaseException:
            desk.turns.release()
            raise

    def _done(self, key: object, desk: _Desk[C], child: C) -> None:
        """A child has nothing more to do."""
        if desk.shared is child:
            desk.shared = None
        if child.failed:
            self._end(child)
        else:
            child.idle_since = self._clock()
            self._keep_idle(key, child)
        desk.turns.release()

    def _pop_idle(self, key: object) -> C | None:
        children = self._idle.get(key)
        if not children:
            return None
        child = children.pop()
        if not children:
            del self._idle[key]
        self._idle_count -= 1
        return child

    def _keep_idle(self, key: object, child: C) -> None:
        """Let it wait; the keys stand in the order in which the last child of each began to wait."""
        children = self._idle.pop(key, [])
        children.append(child)
        self._idle[key] = children
        self._idle_count += 1
        while self._idle_count > self._most_idle:
            longest = next(iter(self._idle))
            self._end(self._idle[longest].pop(0))
            self._idle_count -= 1
            if not self._idle[longest]:
                del self._idle[longest]

    def drop_idle(self, key: object) -> None:
        """End those of this key that wait."""
        for child in self._idle.pop(key, []):
            self._idle_count -= 1
            self._end(child)

    def _end(self, child: C) -> None:
        child.close()
        self._ended.append(child)

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(1.0, self._sweep)

    def _sweep(self) -> None:
        """End children that were idle for long, and take ended ones off the process table."""
        self._sweeping = None
        oldest = self._clock() - IDLE_TIME
        for key, children in list(self._idle.items()):
            keep = []
            for child in children:
                if child.idle_since < oldest:
                    self._idle_count -= 1
                    self._end(child)
                else:
                    keep.append(child)
            if keep:
                self._idle[key] = keep
            else:
                del self._idle[key]
        self._ended = [child for child in self._ended if not child.reaped()]
        if self._idle or self._ended:
            self._sweep_later()

    def close(self) -> None:
        """Let all idle children end."""
        for key in list(self._idle):
            self.drop_idle(key)
