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
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import DEFAULT_PRIVS
from pillarbox.lib.config.parameters.local import COMMAND_TIME_LIMIT, HOME_MAILBOX, MAIL_SPOOL_DIRECTORY
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.libc import set_not_dumpable
from pillarbox.lib.system.privileges import PrivilegeError, drop_privileges, resolve_identity
from pillarbox.local.deliverer import Deliverer
from pillarbox.local.expander import Expander, Stale
from pillarbox.local.steps import Message, Report
from pillarbox.local.users import User, find_uid

IDLE_TIME: Final = 10.0
"""Seconds for which a child waits for its next job: mail for one user comes in bursts."""
MOST_COMMANDS: Final = 5
"""Commands that one forward file may run to their time limit before its process counts as stuck."""
GRACE: Final = 120.0
"""Seconds for everything but commands: locks, a slow disk."""
ADDRESSES_PER_FRAME: Final = 800
"""Addresses of the greatest length that fit into a frame."""

_HIGHEST_DESCRIPTOR: Final = 1 << 20
"""Descriptors beyond it do not exist: the kernel's default for fs.nr_open."""

Serve = Callable[[Attributes, int], Report]


class ChildFailed(Exception):
    """A child could not be made, died, or gave no proper report; nothing is known about its job."""


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

    async def call(self, job: Mapping[str, object], message: Message, time_limit: float) -> Report:
        """Have a job done within `time_limit` seconds.  Raises ChildFailed, Stale."""
        try:
            return await asyncio.wait_for(self._call(job, message), time_limit)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            raise ChildFailed(f"no report within {time_limit:g} seconds") from None

    async def _call(self, job: Mapping[str, object], message: Message) -> Report:
        try:
            await self._channel.send({**job, "message": message.members()}, [message.fd])
            whole = Report()
            while True:
                frame = await self._channel.receive()
                if "failed" in frame:
                    raise ChildFailed(frame.text("failed"))
                if frame.boolean("stale", False):
                    raise Stale(frame.text("why", ""))
                part = Report.parse(frame)
                part.forward[:0] = whole.forward
                whole = part
                if not frame.boolean("more", False):
                    return whole
        except (ChannelClosed, ProtocolError) as error:
            raise ChildFailed(str(error)) from error

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
            report = serve(job, fd)
        except Stale as error:
            channel.send({"stale": True, "why": str(error)})
            return
        finally:
            os.close(fd)
        _send_report(channel, report)


def _send_report(channel: Channel, report: Report) -> None:
    """In several frames where there are very many addresses."""
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
    drop_privileges(user.uid, user.gid, user.groups)
    set_not_dumpable()
    if user.uid == 0:
        Confinement(write=(_mail_place(config, user),), fork=False, unix=False).apply()
    os.umask(0o077)
    deliverer = Deliverer(config, user)

    def serve(job: Attributes, fd: int) -> Report:
        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "user":
            return deliverer.user(message)
        argument = job.text("argument")
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
    lookup, cleanup = LookupClient(config), CleanupClient(config)
    with contextlib.suppress(ServiceUnavailable):  # the job will meet it again and say so
        lookup.get(ALIAS_MAPS.name, "postmaster")
        cleanup.open().abort()
    user = default_user(config)
    drop_privileges(user.uid, user.gid, user.groups)
    Confinement(fork=False).apply()
    expander = Expander(config, lookup, cleanup)

    def serve(job: Attributes, fd: int) -> Report:
        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "expand":
            return expander.expand(message)
        if verb == "forward":
            return Report(outcomes=[expander.forward(message, job.texts("addresses"), alone=job.boolean("alone"))])
        raise ProtocolError(f'no job is called "{verb}"')

    return serve


def default_user(config: Config) -> User:
    """The user `default_privs`, or the caller in an unprivileged instance.  Raises PrivilegeError."""
    if os.geteuid() != 0:
        return caller()
    identity = resolve_identity(config[DEFAULT_PRIVS])
    if identity.uid == 0:
        raise PrivilegeError("default_privs must not be root")
    return User(identity.name, identity.uid, identity.gid, "/", "/bin/sh")


def caller() -> User:
    """The user of this process."""
    uid = os.geteuid()
    return find_uid(uid) or User(str(uid), uid, os.getegid(), "/", "/bin/sh")


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

    async def expander(self, job: Mapping[str, object], message: Message) -> Report:
        """Have an expander do a job.  Raises ChildFailed."""
        begin: Callable[[], Serve] = lambda: begin_expander(self._config)  # noqa: E731
        try:
            return await self._call("expander", 4, begin, job, message)
        except Stale:
            try:
                self._drop_idle("expander")
                return await self._call("expander", 4, begin, job, message)
            except Stale as error:
                raise ChildFailed(str(error)) from error

    async def deliverer(self, user: User, job: Mapping[str, object], message: Message) -> Report:
        """Have `user`'s deliverer do a job.  Raises ChildFailed."""
        return await self._call((user.uid, user.name), 1, lambda: begin_deliverer(self._config, user), job, message)

    async def _call(
        self, key: object, limit: int, begin: Callable[[], Serve], job: Mapping[str, object], message: Message
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
                    report = await child.call(job, message, self._time_limit)
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
