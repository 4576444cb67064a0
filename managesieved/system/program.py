"""The parent of system users' ManageSieve sessions; started as root it becomes each user, else it serves its own user
only."""

from __future__ import annotations

import signal

from pillarbox.lib.clients.auth import Account
from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.login import SessionStart, UserSessions, serve_system_sessions, sessions_apart
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.sieve_box import site
from pillarbox.lib.system.confinement import Confinement
from pillarbox.managesieved.session.service import SERVICE, make_session, run_session


def confinement(config: Config, account: Account) -> Confinement:
    """The user's home, where the scripts are; the kernel keeps the user's rights there."""
    return Confinement(read=site.directories(config), write=(account.home,), unix=False, fork=False)


def run(worker: Worker) -> None:
    """Serve until told to stop."""

    def run_one(start: SessionStart) -> None:
        run_session(worker.config, make_session(worker.config, start), start)

    def serve(account: Account, sessions: UserSessions) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log.set_program(f"{log.program.rpartition('/')[0]}/managesieve")
        if worker.service.confine:
            confinement(worker.config, account).apply()
        sessions.serve_in_threads(run_one)

    serve_system_sessions(worker, SERVICE, serve)


PROGRAM = Program(name="managesieve-system", owner="", run=run, callers=("net_owner",), needed=sessions_apart)
