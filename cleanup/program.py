"""The service `cleanup`."""

from __future__ import annotations

import os

from pillarbox.cleanup.checks import Checks
from pillarbox.cleanup.intake import Intake
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_rounds
from pillarbox.lib.system.confinement import Confinement


class Cleanup:
    """One worker process: what `prepare` made, as the starting user, for the confined `run`."""

    def __init__(self) -> None:
        self._process = 0
        self._spares: Spares | None = None
        self._hold = -1
        self._checks: Checks | None = None

    def prepare(self, worker: Worker) -> None:
        """Open what confinement will forbid: the directories that are synced, the tables of the checks."""
        queue = worker.config[QUEUE_DIRECTORY]
        self._process = os.getpid()
        self._spares = Spares(queue)
        self._hold = os.open(f"{queue}/hold", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

        def denied(path: str) -> None:
            if not worker.stopping:
                log.info(f"table {path} has changed -- restarting")
                worker.make_way()

        self._checks = Checks(worker.config, denied)
        self._checks.preload()

    def confinement(self, config: Config) -> Confinement:
        """incoming/ and spare/ to write, hold/ to put messages in, the sockets of lookup and qmgr, the tables."""
        queue = config[QUEUE_DIRECTORY]
        checks = self._checks if self._checks is not None and self._process == os.getpid() else Checks(config)
        tables = tuple(file for file in checks.files() if os.path.exists(file))
        return Confinement(
            read=(f"{queue}/private", f"{queue}/public", *tables),
            write=(f"{queue}/incoming", f"{queue}/spare"),
            put=(f"{queue}/hold",),
            fork=False,
            attributes=False,
            shorten=False,
        )

    def run(self, worker: Worker) -> None:
        """Serve until stopped."""
        serve_rounds(worker, Intake(worker.config, self._spares, self._hold, self._checks))


_cleanup = Cleanup()


PROGRAM = Program(
    name="cleanup",
    owner="mail_owner",
    confinement=_cleanup.confinement,
    prepare=_cleanup.prepare,
    run=_cleanup.run,
    callers=("mail_owner", "net_owner"),
)
