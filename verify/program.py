"""The program: one process, one event loop, confined to its own directory; it asks lookup and the probing services."""

from __future__ import annotations

import asyncio

from pillarbox.lib.config import Config
from pillarbox.lib.config.access import any_rule
from pillarbox.lib.config.parameters.general import MAIL_OWNER
from pillarbox.lib.config.parameters.verify import ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL, VERIFY_DIRECTORY
from pillarbox.lib.config.restrictions import VERIFYING
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.process.own_directory import make_own_directory
from pillarbox.lib.system.confinement import Confinement
from pillarbox.verify.cache import Cache
from pillarbox.verify.probes import Prober
from pillarbox.verify.service import Verifier, configured_times, serve


def prepare(worker: Worker) -> None:
    """Make the directory, ours alone."""
    config = worker.config
    make_own_directory(config, config[VERIFY_DIRECTORY], config[MAIL_OWNER])


def confinement(config: Config) -> Confinement:
    """Its own directory, UNIX sockets to lookup and the probing services; no other file, no network, no program."""
    return Confinement(write=(config[VERIFY_DIRECTORY],), fork=False, attributes=False)


def needed(config: Config) -> bool:
    """Whether any service looks into addresses."""
    return any_rule(config, VERIFYING)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    config = worker.config
    cache = Cache(config[VERIFY_DIRECTORY])
    made: list[Verifier] = []
    probers: list[Prober] = []

    async def start() -> None:
        prober = Prober(config)
        probers.append(prober)
        made.append(Verifier(cache, prober.probe, configured_times(config)))
        sweep(made[0])

    def sweep(verifier: Verifier) -> None:
        verifier.sweep()
        interval = config[ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL]
        if interval:
            asyncio.get_running_loop().call_later(interval, sweep, verifier)

    try:
        serve_channels(worker, lambda channel: serve(made[0], channel), start)
    finally:
        for prober in probers:
            prober.close()
        cache.close()


PROGRAM = Program(
    name="verify",
    owner="mail_owner",
    confinement=confinement,
    prepare=prepare,
    run=run,
    needed=needed,
    callers=("net_owner",),
)
