"""The root parent of sessions of system users: it becomes the user in a child and starts sessions there; and of those
of hosted accounts, where `virtual_uid_maps` gives mailboxes to users of their own.

It reads one small frame of the login part, redeems its token and passes the client on; it never reads a byte of a
client.  All sessions of one account are served by one child, which is forked for the first of them, gives up the
parent's rights for good before it takes a client over (`user_process`), and is let go a few seconds after the last one.
Started by an ordinary user it can serve that user only, and says so to the others.

The protocol is that of `handover`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, Protocol

from pillarbox.lib.clients.auth import Account, AuthClient
from pillarbox.lib.clients.auth_messages import encode_account
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_SYSTEM_USERS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.hosted.making import make_place
from pillarbox.lib.hosted.owners import MailboxOwner, Owners, owners_differ, usual_owner
from pillarbox.lib.hosted.search import ask
from pillarbox.lib.ipc import Channel, ChannelClosed, ProtocolError, close_all
from pillarbox.lib.log import log
from pillarbox.lib.login.handover import (
    REQUEST_TIMEOUT,
    SessionRequest,
    encode_reply,
    refusal,
)
from pillarbox.lib.login.user_process import UserSessions
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.system.privileges import drop_privileges

TICK = 1.0
"""Seconds between two rounds of housekeeping."""

DRAIN = 5.0
"""Seconds that children get to say good-bye when the service stops."""

LINGER = 5.0
"""Seconds that a child without sessions is kept: a program that looks for mail often connects twice in a row."""

PASS_ON = 2.0
"""Seconds in which a child must have room for one more client in its socket; else it is left alone, and another is
made."""


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


Serve = Callable[[Account, UserSessions], None]
"""Serves all sessions of an account, in the child and as the user."""


def places_of(account: Account, spool: str) -> tuple[str, ...]:
    """What the sessions of an account write to; `spool` is where system users' mailboxes lie."""
    return (account.home, spool) if account.system else (account.home,)


def sessions_apart(config: Config) -> bool:
    """Whether there are sessions of others than `vmail_owner`: of system users, or of mailboxes with owners."""
    return config[AUTH_SYSTEM_USERS] != "no" or owners_differ(config)


def serve_system_sessions(worker: Parent, service: str, serve: Serve) -> None:
    """Serve until the worker is told to stop.  `serve(account, sessions)` runs the sessions in a child, as the user."""
    _Parent(worker, service, serve).run()


class _Rights(NamedTuple):
    """Of an account, and what its process may reach: whoever got another uid or home gets another process."""

    address: str
    uid: int | None
    gid: int | None
    """Those of the mailbox's owner, for a hosted account; None where the process stays who it is."""
    home: str
    system: bool


@dataclass(slots=True, eq=False)
class _Child:
    """A process that serves the sessions of one account."""

    pid: int
    rights: _Rights
    channel: Channel
    sessions: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    let_go: bool = False
    """It gets no more clients."""


class _Parent:
    def __init__(self, worker: Parent, service: str, serve: Serve) -> None:
        self._worker = worker
        self._service = service
        self._serve = serve
        self._auth = AuthClient(worker.config)
        self._apart = owners_differ(worker.config)
        self._owners: Owners | None = None
        self._lookup = LookupClient(worker.config)
        self._children: dict[int, _Child] = {}
        self._by_rights: dict[_Rights, _Child] = {}
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
            channels = {child.channel.socket: child for child in self._children.values() if not child.let_go}
            sources: Sequence[socket.socket] = [waker, worker.status, *channels]
            if not worker.at_ceiling:
                sources = [*sources, *worker.listeners]
            for source in _readable(sources):
                if source in channels:
                    self._told(channels[source])
                elif source is waker:
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
                self._let_idle_go()
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
        for child in list(self._children.values()):
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                del self._children[pid]
                self._let_go(child)
                self._ended(child, child.sessions)

    def _told(self, child: _Child) -> None:
        """A child says that sessions have ended, or is about to end itself."""
        try:
            said = child.channel.socket.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._let_go(child)
        self._ended(child, min(len(said), child.sessions))

    def _ended(self, child: _Child, count: int) -> None:
        child.sessions -= count
        child.idle_since = time.monotonic()
        for _ in range(count):
            self._worker.session_ended()

    def _let_go(self, child: _Child) -> None:
        """It ends when its last session has."""
        if not child.let_go:
            child.let_go = True
            child.channel.close()
        if self._by_rights.get(child.rights) is child:
            del self._by_rights[child.rights]

    def _let_idle_go(self) -> None:
        for child in list(self._by_rights.values()):
            if not child.sessions and time.monotonic() - child.idle_since > LINGER:
                self._let_go(child)

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
        try:
            rights = self._rights(account)
        except DeliveryFailure as failure:
            log.warning(f"{self._service}: session of user=<{request.username}> refused: {failure.text}")
            connection.sendall(encode_reply(failure.text))
            return
        client = (connection.fileno(), *fds)
        members = {"request": request.encode(), **encode_account(account)}
        if not any(self._pass_on(account, rights, members, client) for _ in range(2)):
            connection.sendall(encode_reply("the process of the user does not take it"))

    def _rights(self, account: Account) -> _Rights:
        """What a session that begins now may have; a table may have changed since the last one began.  Raises
        DeliveryFailure, PrivilegeError."""
        uid, gid = account.uid, account.gid
        if not account.system and os.getuid() == 0:
            if self._owners is None:
                self._owners = Owners(self._worker.config)
            uid, gid = ask(self._owners.search(account.address), self._lookup)
        return _Rights(account.address, uid, gid, account.home, account.system)

    def _pass_on(
        self, account: Account, rights: _Rights, members: Mapping[str, object], client: tuple[int, ...]
    ) -> bool:
        """Give a client to the child with these rights; False where that child is not to be spoken to any more."""
        child = self._by_rights.get(rights) or self._fork(account, rights, client)
        try:
            child.channel.send(members, client)
        except ChannelClosed:
            self._let_go(child)
            return False
        child.sessions += 1
        self._worker.session_started()
        return True

    def _fork(self, account: Account, rights: _Rights, client: tuple[int, ...]) -> _Child:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            close_all(client)
            self._child(Channel(theirs), account, rights)
        theirs.close()
        ours.settimeout(PASS_ON)
        child = _Child(pid, rights, Channel(ours))
        self._children[pid] = self._by_rights[child.rights] = child
        return child

    def _child(self, channel: Channel, account: Account, rights: _Rights) -> NoReturn:
        """Be the process of the account's sessions; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.alarm(0)
            for inherited in (*self._worker.listeners, self._worker.status, *self._own):
                inherited.close()
            for sibling in self._children.values():
                sibling.channel.close()
            self._auth.close()
            self._lookup.close()
            sessions = UserSessions(channel, self._service)
            if why := _become(self._worker.config, rights):
                sessions.refuse(why)
            else:
                self._serve(account, sessions)
            status = 0
        except Exception as error:  # the last line of defence of a process: say what happened
            log.error(f"{self._service}: sessions of user=<{account.address}>: {type(error).__name__}: {error}")
        finally:
            os._exit(status)


def _readable(sources: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that have something to say; waits up to `TICK`.  By poll(2): select(2) takes no number above 1023."""
    with selectors.PollSelector() as selector:
        for source in sources:
            selector.register(source, selectors.EVENT_READ, source)
        return [key.data for key, _ in selector.select(TICK)]


def _become(config: Config, rights: _Rights) -> str:
    """In the child: have these rights for good; for a hosted account those of its mailbox's owner, as delivery has
    them.  Gives why that cannot be, or "".  Raises PrivilegeError."""
    if os.getuid() != 0:
        return ""
    assert rights.uid is not None and rights.gid is not None
    if rights.system:
        drop_privileges(rights.uid, rights.gid, _groups(rights.address, rights.gid))
        return ""
    owner = MailboxOwner(rights.uid, rights.gid)
    try:
        make_place(config[VIRTUAL_MAILBOX_BASE].rstrip("/"), rights.home, owner, usual_owner(config), is_maildir=True)
    except DeliveryFailure as failure:
        return failure.text
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


def _groups(address: str, gid: int) -> tuple[int, ...]:
    """The user's groups, for a spool directory that only group `mail` may write."""
    try:
        return tuple(os.getgrouplist(address.partition("@")[0], gid))
    except (KeyError, OSError):
        return (gid,)
