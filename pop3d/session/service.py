"""Takes clients over from the login part and runs a session for each, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from pillarbox.lib.clients.auth import AsyncAuthClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.pop3d import POP3_NO_FLAG_UPDATES, POP3_SESSION_TIMEOUT, POP3_UIDL_FORMAT
from pillarbox.lib.log import log
from pillarbox.lib.login import SessionStart, receive_session
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.quota import Quota, QuotaPolicy
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.capabilities import terms_of
from pillarbox.pop3d.session.session import Session

SERVICE = "pop3"

STOP_GRACE = 2.0
"""Seconds that running sessions get to end by themselves when the service stops; then each ends after its command."""


class SessionService:
    """The sessions of one process, at most `limit` at once.  To be made on the event loop that serves it."""

    def __init__(self, config: Config, limit: int) -> None:
        self._config = config
        self._auth = AsyncAuthClient(config)
        self._threads = ThreadPoolExecutor(limit, "session")
        self._sessions: set[Session] = set()

    async def handle(self, connection: socket.socket) -> None:
        """Serve one client to its end (the handler for `serve_connections`)."""
        start = await receive_session(connection, self._auth, SERVICE)
        if start is None:
            return
        session = make_session(self._config, start)
        self._sessions.add(session)
        try:
            quota = session_quota(self._config, start)
            await asyncio.get_running_loop().run_in_executor(self._threads, run_session, session, start, quota)
        finally:
            self._sessions.discard(session)

    def stop(self) -> None:
        """The service is told to stop."""
        asyncio.get_running_loop().call_later(STOP_GRACE, self._stop_sessions)

    def _stop_sessions(self) -> None:
        for session in self._sessions:
            session.stop()


def make_session(config: Config, start: SessionStart) -> Session:
    """The session of a client that was taken over."""
    return Session(
        start.stream,
        f"pop3({start.account.address})",
        received=start.pending,
        timeout=config[POP3_SESSION_TIMEOUT],
        flag_updates=not config[POP3_NO_FLAG_UPDATES],
        terms=terms_of(config),
        utf8=start.request.extra.get("utf8") == "yes",
        uidl_format=config[POP3_UIDL_FORMAT],
    )


def session_quota(config: Config, start: SessionStart, *, apart: bool = False) -> Quota:
    """What holds for the client's mailbox; `apart`: in a process of its own (`pop3d.system`)."""
    account = start.account
    return QuotaPolicy(config, apart=apart).session(account.quota, hosted=not account.system)


def run_session(session: Session, start: SessionStart, quota: Quota) -> None:
    """Run it to its end, in this thread; closes the client's stream."""
    with start.stream:
        try:
            store = open_store(start.account.mail, quota)
        except StoreError as error:
            log.error(f"pop3({start.account.address}): {error}")
            session.refuse(replies.MAILDROP_UNAVAILABLE)
            return
        session.run(store)
