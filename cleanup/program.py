"""The service `cleanup`."""

from __future__ import annotations

import os

from pillarbox.cleanup.intake import Intake
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.process import Program, Worker, serve_rounds
from pillarbox.lib.system.confinement import Confinement


def confinement(config: Config) -> Confinement:
    """incoming/ and spare/ to write, hold/ to put messages in, the sockets of lookup and qmgr to talk to."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(
        read=(f"{queue}/private", f"{queue}/public"),
        write=(f"{queue}/incoming", f"{queue}/spare"),
        put=(f"{queue}/hold",),
        fork=False,
        attributes=False,
        shorten=False,
    )


class Cleanup:
    """One worker process: what `prepare` made for `run`."""

    def __init__(self) -> None:
        self._spares: Spares | None = None
        self._hold = -1

    def prepare(self, worker: Worker) -> None:
        """Open the directories that are synced, as confinement will forbid it: active/ for spare files, and hold/."""
        queue = worker.config[QUEUE_DIRECTORY]
        self._spares = Spares(queue)
        self._hold = os.open(f"{queue}/hold", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def run(self, worker: Worker) -> None:
        """Serve until stopped."""
        serve_rounds(worker, Intake(worker.config, self._spares, self._hold))


_cleanup = Cleanup()


PROGRAM = Program(
    name="cleanup",
    owner="mail_owner",
    confinement=confinement,
    prepare=_cleanup.prepare,
    run=_cleanup.run,
    callers=("mail_owner", "net_owner"),
)
