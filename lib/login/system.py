"""The root parent of sessions of system users: it becomes the user in a child and starts the session there; and of
those of hosted accounts, where `virtual_uid_maps` gives mailboxes to users of their own.

It reads one small frame of the login part, redeems its token and forks; it never reads a byte of a client.  The child
gives up the parent's rights for good before it takes the client over.  Started by an ordinary user it can serve that
user only, and says so to the others.

One child serves one client.  The protocol is that of `handover`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from pillarbox.lib.clients.auth import Account, AuthClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_SYSTEM_USERS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.hosted.making import make_place
from pillarbox.lib.hosted.owners import Owners, owners_differ, usual_owner
from pillarbox.lib.hosted.search import ask
from pillarbox.lib.ipc import Channel, ChannelClosed, ProtocolError, close_all
from pillarbox.lib.log import log
from pillarbox.lib.login.handover import (
    REQUEST_TIMEOUT,
    SessionRequest,
    SessionStart,
    encode_reply,
    refusal,
    take_stream,
)
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.system.privileges import drop_privileges

TICK = 1.0
"""Seconds between two rounds of housekeeping."""

DRAIN = 5.0
"""Seconds that children get to say good-bye when the service stops."""


class Parent(Protocol):
    """What is needed of `pillarbox.lib.process.Worker`."""

    config: Config
    listeners: list[socket.socket]
    status: socket.socket
    stopping: bool

    @property
    def at_ceiling(self) -> bool: ...
    def ready(self) -> None: ...
    def tick(self) -> None: ...
    def read_status(self) -> bool: ...
    def stop(self) -> None: ...
    def session_started(self) -> None: ...
    def session_ended(self) -> None: ...


Serve = Callable[[SessionStart], None]


def sessions_apart(config: Config) -> bool:
    """Whether there are sessions of others than `vmail_owner`: of system users, or of mailboxes with owners."""
    return config[AUTH_SYSTEM_USERS] != "no" or owners_differ(config)


def serve_system_sessions(worker: Parent, service: str, serve: Serve) -> None:
    """Serve until the worker is told to stop.  `serve(start)` runs the session in the child, as the user."""
    _Parent(worker, service, serve).run()


class _Parent:
    def __init__(self, worker: Parent, service: str, serve: Serve) -> None:
        self._worker = worker
        self._service = service
        self._serve = serve
        self._auth = AuthClient(worker.config)
        self._apart = owners_differ(worker.config)
        self._children: set[int] = set()
        self._own: tuple[socket.socket, ...] = ()
        """Sockets by which the parent wakes itself."""

    def run(self) -> None:
        worker = self._worker
        waker, wake = self._own = socket.socketpair()
        for end in self._own:
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # wakes the loop; children are reaped in it
        worker.ready()
        next_tick = time.monotonic() + TICK
        while not worker.stopping:
            sources: Sequence[socket.socket] = [waker, worker.status]
            if not worker.at_ceiling:
                sources = [*sources, *worker.listeners]
            for source in _readable(sources):
                if source is waker:
                    with contextlib.suppress(BlockingIOError):
                        waker.recv(64)
                elif source is worker.status:
                    if not worker.read_status():
                        worker.stop()
                elif not worker.at_ceiling:
                    self._accept(source)
            self._reap()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                worker.tick()
        self._drain()

    def _drain(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN
        while self._children and time.monotonic() < deadline:
            self._worker.tick()
            time.sleep(0.02)
            self._reap()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, number)

    def _reap(self) -> None:
        for child in list(self._children):
            pid, _ = os.waitpid(child, os.WNOHANG)
            if pid:
                self._children.discard(pid)
                self._worker.session_ended()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(True)
        channel = Channel(connection)
        fds: list[int] = []
        try:
            frame = channel.receive(REQUEST_TIMEOUT)
            fds = frame.fds
            self._start(connection, SessionRequest.decode(frame), fds)
        except ChannelClosed:
            pass
        except ProtocolError as error:
            log.warning(f"{self._service}: protocol error from uid {channel.peer_uid}: {error}")
        finally:
            with contextlib.suppress(OSError):
                close_all(fds)
            connection.close()

    def _start(self, connection: socket.socket, request: SessionRequest, fds: list[int]) -> None:
        try:
            account = self._auth.redeem(request.token, self._service)
            hosted = account is not None and not account.system and self._apart
            why = "" if hosted else refusal(account, system=True) or _cannot_become(account)
        except ServiceUnavailable as error:
            log.warning(error.reason)
            account, why = None, "authentication is unavailable"
        if account is None or why:
            log.warning(f"{self._service}: session of user=<{request.username}> refused: {why}")
            connection.sendall(encode_reply(why))
            return
        child = os.fork()
        if child == 0:
            self._child(connection, request, fds, account)
        self._children.add(child)
        self._worker.session_started()

    def _child(self, connection: socket.socket, request: SessionRequest, fds: list[int], account: Account) -> NoReturn:
        """Be the session; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.alarm(0)
            for inherited in (*self._worker.listeners, self._worker.status, *self._own):
                inherited.close()
            self._auth.close()
            if why := _become(self._worker.config, account):
                log.warning(f"{self._service}: session of user=<{request.username}> refused: {why}")
                connection.sendall(encode_reply(why))
            else:
                connection.sendall(encode_reply())
                stream = take_stream(connection, fds)
                stream.setblocking(False)
                self._serve(SessionStart(stream, account, request))
            status = 0
        except Exception as error:  # the last line of defence of a process: say what happened
            log.error(f"{self._service}: session of user=<{request.username}>: {type(error).__name__}: {error}")
        finally:
            os._exit(status)


def _readable(sources: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that have something to say; waits up to `TICK`.  By poll(2): select(2) takes no number above 1023."""
    with selectors.PollSelector() as selector:
        for source in sources:
            selector.register(source, selectors.EVENT_READ, source)
        return [key.data for key, _ in selector.select(TICK)]


def _become(config: Config, account: Account) -> str:
    """In the child: have the user's rights for good; for a hosted account those of its mailbox's owner, as delivery
    has them.  Gives why that cannot be, or "".  Raises PrivilegeError."""
    if os.getuid() != 0:
        return ""
    if account.system:
        assert account.uid is not None and account.gid is not None
        drop_privileges(account.uid, account.gid, _groups(account))
        return ""
    lookup = LookupClient(config)
    try:
        owner = ask(Owners(config).search(account.address), lookup)
        make_place(config[VIRTUAL_MAILBOX_BASE].rstrip("/"), account.home, owner, usual_owner(config), is_maildir=True)
    except DeliveryFailure as failure:
        return failure.text
    finally:
        lookup.close()
    drop_privileges(owner.uid, owner.gid)
    os.umask(0o077)
    return ""


def _cannot_become(account: Account | None) -> str:
    if account is None or account.uid is None or account.gid is None:
        return "the account has no user id"
    if account.uid == 0:
        return "root has no mail session"
    if os.getuid() not in (0, account.uid):
        return f"this service runs as uid {os.getuid()} and cannot become {account.uid}"
    return ""


def _groups(account: Account) -> tuple[int, ...]:
    """The user's groups, for a spool directory that only group `mail` may write."""
    assert account.gid is not None
    try:
        return tuple(os.getgrouplist(account.address.partition("@")[0], account.gid))
    except (KeyError, OSError):
        return (account.gid,)
