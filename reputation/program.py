"""The program: one process, one event loop, confined to its own directory, without network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import LOOKUP_OWNER
from pillarbox.lib.config.parameters.reputation import (
    REPUTATION_COMMIT_INTERVAL,
    REPUTATION_DIRECTORY,
    REPUTATION_SIZE_LIMIT,
    REPUTATION_SWEEP_INTERVAL,
)
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.process.own_directory import make_own_directory
from pillarbox.lib.system.confinement import Confinement
from pillarbox.reputation.database import Database, DatabaseUnavailable
from pillarbox.reputation.service import Memory, serve
from pillarbox.reputation.sweep import sweep

PAUSE = 0.005
"""Seconds between two steps of a sweep, in which requests are answered."""


def prepare(worker: Worker) -> None:
    """Make the directory, ours alone."""
    config = worker.config
    make_own_directory(config, config[REPUTATION_DIRECTORY], config[LOOKUP_OWNER])


def confinement(config: Config) -> Confinement:
    """Its own directory, its listening socket; no other file, no network, no program."""
    return Confinement(write=(config[REPUTATION_DIRECTORY],), unix=False, fork=False)


class _Keeper:
    """Commits what has changed, and sweeps, by timers."""

    def __init__(self, worker: Worker) -> None:
        config = worker.config
        self._worker = worker
        self._commit_interval = config[REPUTATION_COMMIT_INTERVAL]
        self._sweep_interval = config[REPUTATION_SWEEP_INTERVAL]
        self.database = Database(
            config[REPUTATION_DIRECTORY], config[REPUTATION_SIZE_LIMIT], changed=self._transaction_begun
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """The loop runs."""
        self._loop = asyncio.get_running_loop()
        self._sweep()

    def _transaction_begun(self) -> None:
        assert self._loop is not None
        # While draining, the process that follows wants to write too.
        self._loop.call_later(0 if self._worker.stopping else self._commit_interval, self.database.commit)

    def _sweep(self) -> None:
        assert self._loop is not None
        self._sweep_on(sweep(self.database, int(time.time())))
        if self._sweep_interval:
            self._loop.call_later(self._sweep_interval, self._sweep)

    def _sweep_on(self, steps: Iterator[int]) -> None:
        assert self._loop is not None
        try:
            if next(steps, None) is not None:
                self._loop.call_later(PAUSE, self._sweep_on, steps)
        except DatabaseUnavailable:
            pass  # logged where it happened


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    if worker.service.processes > 1:
        log.warning(f'service "{worker.service.name}": processes should be 1, two would wait for each other')
    keeper = _Keeper(worker)
    memory = Memory(keeper.database, time.time)
    worker.on_stop = keeper.database.commit
    try:
        serve_channels(worker, lambda channel: serve(memory, channel), keeper.start)
    finally:
        keeper.database.close()


PROGRAM = Program(
    name="reputation",
    owner="lookup_owner",
    confinement=confinement,
    prepare=prepare,
    run=run,
    callers=("mail_owner", "net_owner"),
)
