"""The parent of system users' POP3 sessions; started as root it becomes each user, else it serves its own user only."""

from __future__ import annotations

import signal

from pillarbox.lib.clients.auth import Account
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import MAIL_SPOOL_DIRECTORY
from pillarbox.lib.log import log
from pillarbox.lib.login import SessionStart, UserSessions, places_of, serve_system_sessions, sessions_apart
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement
from pillarbox.pop3d.session.service import SERVICE, make_session, run_session


def confinement(config: Config, account: Account) -> Confinement:
    """The user's home and the mail spool; the kernel keeps the user's rights there."""
    stores = reach(config)
    return Confinement(
        read=stores.read,
        write=places_of(account, config[MAIL_SPOOL_DIRECTORY]),
        connect_tcp=stores.ports,
        udp=stores.udp,
        unix=stores.unix,
        fork=False,
    )


def run(worker: Worker) -> None:
    """Serve until told to stop."""

    def run_one(start: SessionStart) -> None:
        run_session(worker.config, make_session(worker.config, start), start, apart=True)

    def serve(account: Account, sessions: UserSessions) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log.set_program(f"{log.program.rpartition('/')[0]}/pop3")
        if worker.service.confine:
            confinement(worker.config, account).apply()
        sessions.serve_in_threads(run_one)

    serve_system_sessions(worker, SERVICE, serve)


PROGRAM = Program(
    name="pop3-system",
    owner="",
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    callers=("net_owner",),
    needed=sessions_apart,
)
