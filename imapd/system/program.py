"""The program `imap-system`: a root parent of a few lines (see `pillarbox.lib.login.system`).

In a child for each user: the sessions of `imap`, with the user's home and the mail spool, or the hosted mailbox, in
reach and nothing else.
Started by an ordinary user it serves that user only.
"""

from __future__ import annotations

import asyncio
import signal

from pillarbox.imapd.session.program import SERVICE, SessionServer
from pillarbox.lib.clients.auth import Account
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import MAIL_SPOOL_DIRECTORY
from pillarbox.lib.log import log
from pillarbox.lib.login import UserSessions, places_of, serve_system_sessions, sessions_apart
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.process.loop import new_event_loop
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement


def session_confinement(config: Config, account: Account) -> Confinement:
    """What the user owns; inside, the kernel keeps the user's rights."""
    stores = reach(config)
    return Confinement(
        read=stores.read,
        write=places_of(account, config[MAIL_SPOOL_DIRECTORY]),
        connect_tcp=stores.ports,
        udp=stores.udp,
        unix=stores.unix,
        fork=False,
    )


def serve(worker: Worker, account: Account, sessions: UserSessions) -> None:
    """Be the process of a system user's sessions."""
    log.set_program(f"{log.program.rpartition('/')[0]}/imap")
    if worker.service.confine:
        session_confinement(worker.config, account).apply()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(worker.config, sessions))
    finally:
        loop.close()


async def _serve(config: Config, sessions: UserSessions) -> None:
    server = SessionServer(config, apart=True)

    def stop() -> None:
        server.stop()
        sessions.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await sessions.serve(server.serve)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    serve_system_sessions(worker, SERVICE, lambda account, sessions: serve(worker, account, sessions))


PROGRAM = Program(
    name="imap-system",
    owner="",
    confinement=None,
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    callers=("net_owner",),
    needed=sessions_apart,
)
