"""The session program of POP3 for hosted accounts: the mailbox owner, confined to the mailboxes."""

from __future__ import annotations

import socket

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.process import Program, Worker, serve_connections
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement
from pillarbox.pop3d.session.service import SessionService


def confinement(config: Config) -> Confinement:
    """The mailboxes, and UNIX sockets to auth."""
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
    service: SessionService | None = None

    async def start() -> None:
        nonlocal service
        service = SessionService(worker.config, worker.service.sessions)

    async def handle(connection: socket.socket) -> None:
        assert service is not None
        await service.handle(connection)

    def stop() -> None:
        if service is not None:
            service.stop()

    worker.on_stop = stop
    serve_connections(worker, handle, start)


PROGRAM = Program(
    name="pop3",
    owner="vmail_owner",
    confinement=confinement,
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    callers=("net_owner",),
    retires=True,
)
