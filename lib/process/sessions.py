"""What the session programs of POP3 and ManageSieve have in common: each session in a thread of its own.

Their sessions wait: for the client, for the store. How one begins and runs is said by a `SessionKind`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pillarbox.lib.clients.auth import AsyncAuthClient
from pillarbox.lib.config import Config
from pillarbox.lib.login import SessionStart, receive_session
from pillarbox.lib.process.events import serve_with
from pillarbox.lib.process.worker import Worker

STOP_GRACE = 2.0
"""Seconds that running sessions get to end by themselves when the service stops; then each ends after its command."""


class Stoppable(Protocol):
    """A session."""

    def stop(self) -> None:
        """End after the command under way; called from another thread."""


S = TypeVar("S", bound=Stoppable)


@dataclass(frozen=True, slots=True)
class SessionKind(Generic[S]):
    """What the sessions of a protocol are. No function refers to the `ThreadedSessions`: threads hold what they ran."""

    service: str
    """Its name at auth."""
    make: Callable[[Config, SessionStart], S]
    """The session of a client that was taken over; called on the event loop."""
    run: Callable[[Config, S, SessionStart], None]
    """Run it to its end and close the client's stream; called in the session's thread."""


class ThreadedSessions(Generic[S]):
    """The sessions of one process, at most `limit` at once.  To be made on the event loop that serves it."""

    def __init__(self, config: Config, limit: int, kind: SessionKind[S]) -> None:
        self._config = config
        self._kind = kind
        self._auth = AsyncAuthClient(config)
        self._threads = ThreadPoolExecutor(limit, "session")
        self._sessions: set[S] = set()

    async def handle(self, connection: socket.socket) -> None:
        """Serve one client to its end (the handler for `serve_connections`)."""
        kind = self._kind
        start = await receive_session(connection, self._auth, kind.service)
        if start is None:
            return
        session = kind.make(self._config, start)
        self._sessions.add(session)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, kind.run, self._config, session, start)
        finally:
            self._sessions.discard(session)

    def stop(self) -> None:
        """The service is told to stop."""
        asyncio.get_running_loop().call_later(STOP_GRACE, self._stop_sessions)

    def close(self) -> None:
        """End all sessions, and the threads."""
        self._stop_sessions()
        self._threads.shutdown()

    def _stop_sessions(self) -> None:
        for session in tuple(self._sessions):
            session.stop()


def serve_in_threads(kind: SessionKind[S], worker: Worker) -> None:
    """What a session program runs: serve until told to stop."""
    serve_with(worker, lambda: ThreadedSessions(worker.config, worker.service.sessions, kind))
