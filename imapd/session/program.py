"""The program `imap`: sessions of hosted accounts, many in each process, as the owner of their mailboxes."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from urllib.parse import quote

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.capabilities import session_capabilities
from pillarbox.imapd.session.indexing import indexing_of_process
from pillarbox.imapd.session.loop import SessionLoop
from pillarbox.imapd.session.spaces import Spaces
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.clients.auth import AsyncAuthClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.location import ELSEWHERE
from pillarbox.lib.config.parameters.sharing import IMAP_SHARED_MAILBOXES
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.log import log
from pillarbox.lib.login import ClientConnection, ClientGone, SessionStart, receive_session
from pillarbox.lib.process import Program, Worker, serve_connections
from pillarbox.lib.store import open_store
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import Store, StoreError
from pillarbox.lib.store.quota import QuotaPolicy
from pillarbox.lib.store.reach import load_stores, mistakes, reach
from pillarbox.lib.system.confinement import Confinement

SERVICE = "imap"
ACCOUNT_TIMEOUT = 10.0
"""Seconds for finding out where the mail of a URL's user lies."""


class SessionServer:
    """The sessions of one process."""

    def __init__(self, config: Config, *, apart: bool = False) -> None:
        """`apart`: the process is that of one session (`imapd.system`)."""
        self._config = config
        self._apart = apart
        self._quotas = QuotaPolicy(config, apart=apart)
        self._spaces = None if apart or not config[IMAP_SHARED_MAILBOXES] else Spaces(config, self._quotas)
        self._auth: AsyncAuthClient | None = None
        self._watcher: Watcher | None = None
        self._sessions: set[SessionLoop] = set()
        self._stopping = False

    async def handle(self, connection: socket.socket) -> None:
        """Take over a client that a login part brings, and serve it."""
        start = await receive_session(connection, self._auth_client(), SERVICE)
        if start is not None:
            await self.serve(start)

    def _auth_client(self) -> AsyncAuthClient:
        if self._auth is None:
            self._auth = AsyncAuthClient(self._config)
        return self._auth

    async def _open_account(self, user: str) -> Store | None:
        """See `Session.open_account`: hosted accounts, which have the same owner as this process."""
        try:
            async with asyncio.timeout(ACCOUNT_TIMEOUT):
                account = await self._auth_client().account(user)
        except (ServiceUnavailable, TimeoutError) as error:
            log.warning(f"imap: account of a URL: {error}")
            return None
        if account is None or account.system or account.mail.startswith(ELSEWHERE):
            return None
        store = open_store(account.mail, self._quotas.session(account.quota, hosted=True))
        return store if self._spaces is None else self._spaces.open(store, account.address)

    async def serve(self, start: SessionStart) -> None:
        """Serve one client to its end."""
        if self._watcher is None:
            self._watcher = Watcher()
        try:
            client = ClientConnection(start.stream)
        except OSError:  # gone already
            start.stream.close()
            return
        tag = start.request.extra.get("tag", "*").encode("ascii", "replace")
        username = start.account.address
        if start.account.mail.startswith(ELSEWHERE):
            log.info(f"imap({username}): referred to {start.account.mail}")
            await _end(client, referral(tag, start.account.mail, username) + response.status(b"*", b"BYE", "Go there."))
            return
        quota = self._quotas.session(start.account.quota, hosted=not start.account.system)
        try:
            store = open_store(start.account.mail, quota)
            if self._spaces is not None and not start.account.system:
                store = await patiently(partial(self._spaces.open, store, username))
        except StoreError as error:
            log.error(f"imap({username}): {error}")
            await _refuse(client, tag)
            return
        session = SessionLoop(self._config, store, client, username, self._watcher)
        if not self._apart:
            session.open_account = self._open_account
        session.send(response.status(tag, b"OK", "Logged in", f"CAPABILITY {session_capabilities(self._config)}"))
        self._sessions.add(session)
        if self._stopping:
            session.stop()
        try:
            await session.serve(start.pending)
        finally:
            self._sessions.discard(session)
            client.close()

    def stop(self) -> None:
        """Tell all clients that the service stops."""
        self._stopping = True
        indexing_of_process(self._config).keeper.stop()
        for session in self._sessions:
            session.stop()


def referral(tag: bytes, server: str, username: str) -> bytes:
    """The answer to a login whose mail is on another server (RFC 2221 section 4.1)."""
    url = f"{ELSEWHERE}{quote(username, safe='')};AUTH=*@{server.removeprefix(ELSEWHERE).rstrip('/')}/"
    return response.status(tag, b"NO", "The mail of this account is on another server.", f"REFERRAL {url}")


async def _refuse(client: ClientConnection, tag: bytes) -> None:
    await _end(
        client,
        response.status(tag, b"NO", "The mail of this account cannot be reached.", "UNAVAILABLE")
        + response.status(b"*", b"BYE", "Try again later."),
    )


async def _end(client: ClientConnection, last: bytes) -> None:
    try:
        await client.write(last)
    except ClientGone:
        pass
    finally:
        client.close()


def confinement(config: Config) -> Confinement:
    """The hosted mailboxes; no network but the clients that are handed over."""
    stores = reach(config)
    return Confinement(
        read=stores.read,
        write=(config[VIRTUAL_MAILBOX_BASE],),
        connect_tcp=stores.ports,
        udp=stores.udp,
        fork=False,
    )


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    server = SessionServer(worker.config)
    worker.on_stop = server.stop
    serve_connections(worker, server.handle)


PROGRAM = Program(
    name="imap",
    owner="vmail_owner",
    confinement=confinement,
    mistakes=mistakes,
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    callers=("net_owner",),
    retires=True,
)
