"""The lookup program: one event loop per process, tables opened before the process gives up its rights.

Confined to the files of the configured tables.  When one of them is replaced, the process may not open the new file:
it ends after its running requests, and the master starts another, which may.
"""

from __future__ import annotations

import os

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tables import Options
from pillarbox.lookup.callers import Callers
from pillarbox.lookup.mistakes import mistakes
from pillarbox.lookup.service import Lookup, Service

_prepared: dict[int, tuple[Lookup, Callers]] = {}
"""What `prepare` made, by process id: a child process never takes its parent's tables for its own."""


def prepare(worker: Worker) -> None:
    """Open and load the tables as the starting user."""

    def denied(path: str) -> None:
        if not worker.stopping:
            log.info(f"table {path} has changed -- restarting")
            worker.stop()

    lookup = Lookup(worker.config, Options(denied=denied))
    lookup.preload()
    _prepared[os.getpid()] = lookup, Callers(worker.config)


def confinement(config: Config) -> Confinement:
    """Reading the table files; UNIX sockets for the auth service; of the network only the servers of tables."""
    lookup = _prepared[os.getpid()][0] if os.getpid() in _prepared else Lookup(config)
    files = tuple(file for file in lookup.files() if os.path.exists(file))
    reach = lookup.reach()
    return Confinement(read=files, connect_tcp=tuple(sorted(reach.ports)), bind_tcp=(), udp=reach.names, fork=False)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    service = Service(*_prepared[os.getpid()])
    try:
        serve_channels(worker, service.serve)
    finally:
        service.close()


PROGRAM = Program(
    name="lookup", owner="lookup_owner", confinement=confinement, prepare=prepare, run=run, mistakes=mistakes
)
