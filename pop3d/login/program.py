"""The login program of POP3: the net user, confined, with the TLS key in memory and no file in reach."""

from __future__ import annotations

import socket
import ssl

from pillarbox.lib.config import Config
from pillarbox.lib.login import LoginFront
from pillarbox.lib.process import Program, Worker, serve_connections
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import ServerRole, login_role, server_context
from pillarbox.pop3d.login.dialogue import Pop3Login

_context: dict[Worker, ssl.SSLContext | None] = {}
"""From `prepare`, which may read the key, to `run`, which may not."""


def confinement(config: Config) -> Confinement:
    """UNIX sockets to auth and to the session part; nothing else."""
    return Confinement(fork=False)


def role(config: Config) -> ServerRole | None:
    """How the service uses TLS."""
    return login_role(config, ("pop3",))


def prepare(worker: Worker) -> None:
    """Read certificate and key."""
    use = role(worker.config)
    _context[worker] = server_context(worker.config, use, worker.tickets) if use is not None else None


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    front: LoginFront | None = None

    async def start() -> None:
        nonlocal front
        front = LoginFront(worker.config, Pop3Login(worker.config), _context.get(worker))

    async def handle(connection: socket.socket) -> None:
        assert front is not None
        await front.handle(connection)

    def stop() -> None:
        if front is not None:
            front.stop()

    worker.on_stop = stop
    serve_connections(worker, handle, start)


PROGRAM = Program(
    name="pop3-login",
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    run=run,
    tls=role,
    retires=True,
)
