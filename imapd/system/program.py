"""The program `imap-system`: a root parent of a few lines (see `pillarbox.lib.login.system`).

In the child, as the user: the session of `imap`, with the user's home and mail spool in reach and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal

from pillarbox.imapd.session.program import SessionServer
from pillarbox.lib.config import Config
from pillarbox.lib.login import SessionStart, serve_system_sessions
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.process.loop import new_event_loop
from pillarbox.lib.system.confinement import Confinement

SERVICE = "imap"


def session_confinement(start: SessionStart) -> Confinement:
    """The user's home, and the folders that the mail location names."""
    paths = {start.account.home}
    for part in start.account.mail.split(":"):
        path = part.rpartition("=")[2]
        if path.startswith("/"):
            # An mbox is locked and replaced by files beside it.
            paths.add(path if os.path.isdir(path) else os.path.dirname(path))
    return Confinement(write=tuple(sorted(path for path in paths if path)), fork=False)


def serve(config: Config, start: SessionStart) -> None:
    """Be the session of a system user."""
    session_confinement(start).apply()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(config, start))
    finally:
        loop.close()


async def _serve(config: Config, start: SessionStart) -> None:
    server = SessionServer(config)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve(start)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    serve_system_sessions(worker, SERVICE, lambda start: serve(worker.config, start))


PROGRAM = Program(name="imap-system", owner="", confinement=None, run=run)
