"""The service `cleanup`."""

from __future__ import annotations

from pillarbox.cleanup.intake import Intake
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.process import Program, Worker, serve_rounds
from pillarbox.lib.system.confinement import Confinement


def confinement(config: Config) -> Confinement:
    """incoming/ and spare/ to write, the sockets of lookup and qmgr to talk to, nothing else."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(
        read=(f"{queue}/private", f"{queue}/public"),
        write=(f"{queue}/incoming", f"{queue}/spare"),
        fork=False,
        attributes=False,
        shorten=False,
    )


class Cleanup:
    """One worker process: what `prepare` made for `run`."""

    def __init__(self) -> None:
        self._spares: Spares | None = None

    def prepare(self, worker: Worker) -> None:
        """Open the directories that are synced for spare files: confinement will forbid active/."""
        self._spares = Spares(worker.config[QUEUE_DIRECTORY])

    def run(self, worker: Worker) -> None:
        """Serve until stopped."""
        serve_rounds(worker, Intake(worker.config, self._spares))


_cleanup = Cleanup()


PROGRAM = Program(
    name="cleanup",
    owner="mail_owner",
    confinement=confinement,
    prepare=_cleanup.prepare,
    run=_cleanup.run,
    callers=("mail_owner", "net_owner"),
)
