"""The children of the local parent: forked when needed, kept warm for a while, each with the rights of one user.

A child serves one job at a time over a socket pair.  A deliverer has given up every right but its user's before it
reads its first job; `drop_privileges` verifies that.  The expander is confined as well.  A child that dies, or says
something that is no report, costs its job a deferral.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import COMMAND_TIME_LIMIT, HOME_MAILBOX, MAIL_SPOOL_DIRECTORY
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.libc import set_not_dumpable
from pillarbox.lib.system.privileges import drop_privileges
from pillarbox.local.deliverer import Deliverer
from pillarbox.local.expander import Expander
from pillarbox.local.identities import default_user
from pillarbox.local.mails import MOST_MAILS, read_mail, send_mail, taken_mail
from pillarbox.local.sending import Sender, Stale
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import User

IDLE_TIME: Final = 10.0
"""Seconds for which a child waits for its next job: mail for one user comes in bursts."""
MOST_COMMANDS: Final = 5
"""Commands that one forward file may run to their time limit before its process counts as stuck."""
GRACE: Final = 120.0
"""Seconds for everything but commands: locks, a slow disk."""
ADDRESSES_PER_FRAME: Final = 700
"""Addresses of the greatest length that fit into a frame."""

EXPANDERS: Final = 4
"""Processes that expand at once, and as many that send on."""

_HIGHEST_DESCRIPTOR: Final = 1 << 20
"""Descriptors beyond it do not exist: the kernel's default for fs.nr_open."""

Serve = Callable[[Attributes, int, Channel], Report]
"""In a child: does a job with a message's descriptor.  What belongs to the job and is long goes over the channel."""

Put = Callable[[list[str]], Awaitable[None]]
Feed = Callable[[Put], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes with a job besides the message: `descriptors`; `feed`, which gives the addresses that the job needs;
    `put`, which takes those that it finds, as they come."""

    descriptors: Sequence[int] = ()
    feed: Feed | None = None
    put: Put | None = None


class ChildFailed(Exception):
    """A child could not be made, died, or gave no proper report; nothing is known about its job."""


class _NotTaken(Exception):
    """A child has ended while it was fed."""


class Child:
    """The parent's end of one child."""

    def __init__(self, begin: Callable[[], Serve]) -> None:
        """Fork.  `begin` runs in the child, gives up rights, and returns what serves its jobs."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            pid = os.fork()
            if pid == 0:
                _run_child(theirs, begin)
        self.pid = pid
        self.idle_since = 0.0
        self._channel = AsyncChannel(ours)

    async def call(
        self,
        job: Mapping[str, object],
        message: Message,
        time_limit: float,
        beside: Beside,
    ) -> Report:
        """Have a job done within `time_limit` seconds.  Raises ChildFailed, Stale, and what the functions raise that
        stand in `beside`."""
        try:
            async with asyncio.timeout(time_limit):  # wait_for would make a task of it
                return await self._call(job, message, beside)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            raise ChildFailed(f"no report within {time_limit:g} seconds") from None

    async def _call(self, job: Mapping[str, object], message: Message, beside: Beside) -> Report:
        whole = Report()
        try:
            await self._channel.send({**job, "message": message.members()}, [message.fd, *beside.descriptors])
            if beside.feed is not None:
                await self._feed(beside.feed)
            return await self._report(whole, beside.put)
        except (ChannelClosed, ProtocolError) as error:
            whole.drop_mails()
            raise ChildFailed(str(error)) from error
        except BaseException:
            whole.drop_mails()
            raise

    async def _report(self, whole: Report, put: Put | None) -> Report:
        """What the child reports, piece by piece; its mails are those of `whole` from the moment when they come."""
        mails = whole.mails
        while True:
            frame = await self._channel.receive()
            if "mail" in frame:
                mails.append(taken_mail(frame))
                if len(mails) > MOST_MAILS:
                    raise ProtocolError(f"a filter sends {MOST_MAILS} mails at most")
                continue
            if "failed" in frame:
                raise ChildFailed(frame.text("failed"))
            if frame.boolean("stale", False):
                raise Stale(frame.text("why", ""))
            part = Report.parse(frame)
            if put is not None and part.forward:
                await put(part.forward)
                part.forward = []
            part.forward[:0] = whole.forward
            part.mails = mails
            whole = part
            if not frame.boolean("more", False):
                return whole

    async def _feed(self, feed: Feed) -> None:
        async def put(addresses: list[str]) -> None:
            try:
                await self._channel.send({"addresses": addresses, "more": True})
            except ChannelClosed:
                raise _NotTaken from None

        with contextlib.suppress(_NotTaken):  # it has said why, perhaps
            await feed(put)
            with contextlib.suppress(ChannelClosed):
                await self._channel.send({"addresses": [], "more": False})

    def close(self) -> None:
        """Let it end; it has no job."""
        self._channel.close()

    def reaped(self) -> bool:
        """Whether it has ended (and is off the process table)."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


def _run_child(theirs: socket.socket, begin: Callable[[], Serve]) -> NoReturn:
    status = 1
    try:
        gc.disable()
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(0)
        signal.set_wakeup_fd(-1)
        _keep_only(theirs.fileno())
        channel = Channel(theirs)
        try:
            _serve(channel, begin())
            status = 0
        except ChannelClosed:
            status = 0
        except Exception as error:
            # This process has no log: the parent, which waits for a report, writes it down.
            channel.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)


def _keep_only(descriptor: int) -> None:
    """Close everything but `descriptor`; the standard three become /dev/null."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _HIGHEST_DESCRIPTOR)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _serve(channel: Channel, serve: Serve) -> None:
    while True:
        job = channel.receive()
        fd = job.fds[0]
        try:
            report = serve(job, fd, channel)
        except Stale as error:
            channel.send({"stale": True, "why": str(error)})
            return
        finally:
            for descriptor in job.fds:
                os.close(descriptor)
        _send_report(channel, report)


def _send_report(channel: Channel, report: Report) -> None:
    """In several frames where there are very many addresses, or mails."""
    for outgoing in report.outgoing:
        send_mail(channel, outgoing)
    addresses = report.forward
    while len(addresses) > ADDRESSES_PER_FRAME:
        part = Report(forward=addresses[:ADDRESSES_PER_FRAME])
        channel.send({**part.members(), "more": True})
        addresses = addresses[ADDRESSES_PER_FRAME:]
    report.forward = addresses
    channel.send(report.members())


# --- what children do before their first job


def begin_deliverer(config: Config, user: User) -> Serve:
    """In the child: become `user`."""
    drop_privileges(user.uid, user.gid, user.all_groups())
    set_not_dumpable()
    if user.uid == 0:
        Confinement(read=(user.home,), write=(_mail_place(config, user),), fork=False, unix=False).apply()
    os.umask(0o077)
    deliverer = Deliverer(config, user)

    def serve(job: Attributes, fd: int, channel: Channel) -> Report:
        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "user":
            return deliverer.user(message, job.text("command"), elsewhere=job.boolean("elsewhere"))
        argument = job.text("argument")
        if verb == "members":
            try:
                for batch in deliverer.members(message, argument, job.text("signature")):
                    channel.send({**Report(forward=batch).members(), "more": True})
            except DeliveryFailure as failure:
                return Report(outcomes=[Outcome.failure(failure)])
            return Report()
        if verb == "include":
            return deliverer.include(message, argument)
        if verb == "file":
            return deliverer.file(message, argument)
        if verb == "command":
            return deliverer.command(message, argument)
        raise ProtocolError(f'no job is called "{verb}"')

    return serve


def _mail_place(config: Config, user: User) -> str:
    """The directory of root's mailbox."""
    return user.home if config[HOME_MAILBOX] else config[MAIL_SPOOL_DIRECTORY]


def begin_expander(config: Config) -> Serve:
    """In the child: connect, become `default_privs`, be confined."""
    lookup, sender = LookupClient(config), Sender(config, CleanupClient(config))
    with contextlib.suppress(ServiceUnavailable):  # the job will meet it again and say so
        lookup.get(ALIAS_MAPS.name, "postmaster")
        sender.connect()
    user = default_user(config)
    drop_privileges(user.uid, user.gid, user.all_groups())
    Confinement(fork=False).apply()
    expander = Expander(config, lookup)

    def serve(job: Attributes, fd: int, channel: Channel) -> Report:
        def batches() -> tuple[Sequence[str], bool]:
            frame = channel.receive()
            return frame.texts("addresses"), frame.boolean("more")

        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "expand":
            return expander.expand(message)
        if verb == "unknown":
            return expander.unknown(message)
        if verb == "hand over":
            return Report(outcomes=sender.hand_over(message, job.text("transport")))
        if verb == "forward":
            return Report(outcomes=sender.forward(message, batches, alone=job.boolean("alone")))
        if verb == "mail":
            outgoing = read_mail(job, job.fds[1:])
            return Report(outcomes=[sender.mail(message, outgoing, alone=job.boolean("alone"))])
        raise ProtocolError(f'no job is called "{verb}"')

    return serve


class Children:
    """The pool: one deliverer at a time per uid, a few expanders."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._time_limit = config[COMMAND_TIME_LIMIT] * MOST_COMMANDS + GRACE
        self._idle: dict[object, list[Child]] = {}
        self._turns: dict[object, asyncio.Semaphore] = {}
        self._waiting: dict[object, int] = {}
        self._ended: list[Child] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def expander(self, job: Mapping[str, object], message: Message, descriptors: Sequence[int] = ()) -> Report:
        """Have an expander do a job; `descriptors` go with it.  Raises ChildFailed."""
        return await self._expander("expander", job, message, Beside(descriptors))

    async def sender(self, job: Mapping[str, object], message: Message, feed: Feed) -> Report:
        """Have an expander send a message on to addresses.  Raises ChildFailed, and what `feed` raises.

        They are others than those that expand: a list may be read slowly, and expansion must not wait for it.
        """
        return await self._expander("sender", job, message, Beside(feed=feed))

    async def _expander(self, key: str, job: Mapping[str, object], message: Message, beside: Beside) -> Report:
        begin: Callable[[], Serve] = lambda: begin_expander(self._config)  # noqa: E731
        try:
            return await self._call(key, EXPANDERS, begin, job, message, beside)
        except Stale:
            try:
                self._drop_idle(key)
                return await self._call(key, EXPANDERS, begin, job, message, beside)
            except Stale as error:
                raise ChildFailed(str(error)) from error

    async def deliverer(
        self, user: User, job: Mapping[str, object], message: Message, put: Put | None = None
    ) -> Report:
        """Have `user`'s deliverer do a job.  Raises ChildFailed, and what `put` raises."""
        key = (user.uid, user.gid, user.name)
        return await self._call(key, 1, lambda: begin_deliverer(self._config, user), job, message, Beside(put=put))

    async def _call(
        self,
        key: object,
        limit: int,
        begin: Callable[[], Serve],
        job: Mapping[str, object],
        message: Message,
        beside: Beside,
    ) -> Report:
        turns = self._turns.setdefault(key, asyncio.Semaphore(limit))
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with turns:
                idle = self._idle.get(key)
                try:
                    child = idle.pop() if idle else Child(begin)
                except OSError as error:
                    raise ChildFailed(f"cannot fork: {error.strerror}") from error
                try:
                    report = await child.call(job, message, self._time_limit, beside)
                except BaseException:
                    self._end(child)
                    raise
                child.idle_since = self._clock()
                self._idle.setdefault(key, []).append(child)
                return report
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key], self._turns[key]
            self._sweep_later()

    def _drop_idle(self, key: object) -> None:
        for child in self._idle.pop(key, []):
            self._end(child)

    def _end(self, child: Child) -> None:
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
            self._drop_idle(key)
