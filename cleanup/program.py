"""The service `cleanup`."""

from __future__ import annotations

from pillarbox.cleanup.intake import Intake
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.process import Program, Worker, serve_rounds
from pillarbox.lib.system.confinement import Confinement


def confinement(config: Config) -> Confinement:
    """incoming/ to write, the sockets of lookup and qmgr to talk to, nothing else."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(
        read=(f"{queue}/private", f"{queue}/public"),
        write=(f"{queue}/incoming",),
        fork=False,
        attributes=False,
        shorten=False,
    )


def run(worker: Worker) -> None:
    """Serve until stopped."""
    serve_rounds(worker, Intake(worker.config))


PROGRAM = Program(
    name="cleanup", owner="mail_owner", confinement=confinement, run=run, callers=("mail_owner", "net_owner")
)
