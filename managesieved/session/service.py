"""Takes clients over from the login part and runs a session for each, in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients.auth import Account, AsyncAuthClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.location import ELSEWHERE
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.config.parameters.managesieved import MANAGESIEVE_REFERRAL, MANAGESIEVE_SESSION_TIMEOUT
from pillarbox.lib.config.parameters.sieve import SIEVE_MAX_SCRIPT_SIZE
from pillarbox.lib.login import SessionStart, receive_session
from pillarbox.lib.sieve_box.running import Owner
from pillarbox.lib.sieve_box.storage import READ_LIMIT, ScriptStorage
from pillarbox.managesieved.protocol import replies
from pillarbox.managesieved.protocol.capabilities import Capabilities
from pillarbox.managesieved.session.session import Session

SERVICE = "sieve"

STOP_GRACE = 2.0
"""Seconds that running sessions get to end by themselves when the service stops; then each ends after its command."""


_PORT = re.compile(r":\d+\Z")


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
            await asyncio.get_running_loop().run_in_executor(self._threads, run_session, self._config, session, start)
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
    address = start.account.address
    sasl = start.request.extra.get("sasl")
    return Session(
        start.stream,
        f"managesieve({address})",
        received=start.pending,
        timeout=config[MANAGESIEVE_SESSION_TIMEOUT],
        literal_limit=config[SIEVE_MAX_SCRIPT_SIZE] or READ_LIMIT,
        capabilities=replies.capability(Capabilities(config).after_login(address)),
        sasl=None if sasl is None else sasl.encode("ascii"),
    )


def run_session(config: Config, session: Session, start: SessionStart) -> None:
    """Run it to its end, in this thread; closes the client's stream."""
    with start.stream:
        if server := referral(config, start.account):
            session.refer(server)
        else:
            session.run(lambda: ScriptStorage(config, owner_of(config, start.account)))


def referral(config: Config, account: Account) -> str:
    """The URL of the server that has the account's scripts (RFC 5804 section 1.3); "" where they are here."""
    if not account.mail.startswith(ELSEWHERE):
        return ""
    if named := config[MANAGESIEVE_REFERRAL]:
        return named
    host = account.mail.removeprefix(ELSEWHERE).rstrip("/")
    return f"sieve://{_PORT.sub('', host)}"  # the port was that of IMAP


def owner_of(config: Config, account: Account) -> Owner:
    """Whose scripts they are, as delivery names them (`virtual.filtering`, `local.sieve`)."""
    if account.system:
        return Owner(account.home, account.address, config[MYHOSTNAME])
    local, domain = split_address(account.address)
    return Owner(account.home, local, domain)
