"""The program `imap-login`: the net user's part of IMAP, confined, with auth and the session sockets in reach."""

from __future__ import annotations

import socket
import ssl

from pillarbox.imapd.login.dialogue import ImapLogin
from pillarbox.lib.config import Config
from pillarbox.lib.login import LoginFront
from pillarbox.lib.process import Program, Worker, serve_connections
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import ServerRole, login_role, server_context

_contexts: dict[Worker, ssl.SSLContext | None] = {}
"""From `prepare`, which may read the key, to `run`, which may not."""


def role(config: Config) -> ServerRole | None:
    """How the service uses TLS."""
    return login_role(config, ("imap",))


def prepare(worker: Worker) -> None:
    """Load the certificate and its key while they can still be read."""
    use = role(worker.config)
    _contexts[worker] = server_context(worker.config, use, worker.tickets) if use is not None else None


def confinement(config: Config) -> Confinement:
    """Nothing but the interpreter; sockets to auth and to the session parts."""
    return Confinement(fork=False)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    front: LoginFront | None = None

    async def start() -> None:
        nonlocal front
        front = LoginFront(worker.config, ImapLogin(worker.config), _contexts.get(worker))

    async def handle(connection: socket.socket) -> None:
        assert front is not None
        await front.handle(connection)

    def stop() -> None:
        if front is not None:
            front.stop()

    worker.on_stop = stop
    serve_connections(worker, handle, start)


PROGRAM = Program(
    name="imap-login",
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    run=run,
    tls=role,
    retires=True,
)
