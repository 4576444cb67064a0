"""The program: one process, one event loop, confined to the DNS, one TCP port and its own directory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.general import NET_OWNER
from pillarbox.lib.config.parameters.mta_sts import (
    MTA_STS_CAFILE,
    MTA_STS_DIRECTORY,
    MTA_STS_FETCH_TIMEOUT,
    MTA_STS_TCP_PORT,
)
from pillarbox.lib.dns import Resolver, choose_servers, configured_resolver
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.process.own_directory import make_own_directory
from pillarbox.lib.system.confinement import Confinement
from pillarbox.mta_sts.cache import Cache
from pillarbox.mta_sts.service import Policies
from pillarbox.mta_sts.source import WebSource, policy_context

ROUND: Final = 600.0
"""Seconds between two rounds of renewal, while the process lives; when it is not, master wakes it (`wakeup`)."""

_prepared: dict[Worker, tuple[ssl.SSLContext, Resolver]] = {}
"""From `prepare`, which may read files, to `run`, which may not."""


def prepare(worker: Worker) -> None:
    """Make the directory, ours alone; read authorities, resolv.conf and hosts."""
    config = worker.config
    make_own_directory(config, config[MTA_STS_DIRECTORY], config[NET_OWNER])
    try:
        _prepared[worker] = _read(config)
    except ValueError as error:
        log.fatal(str(error))
        raise SystemExit(1) from None


def _read(config: Config) -> tuple[ssl.SSLContext, Resolver]:
    """Raises ValueError that says what is wrong."""
    try:
        context = policy_context(config[MTA_STS_CAFILE])
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{MTA_STS_CAFILE.name}: cannot read {config[MTA_STS_CAFILE]}: {error}") from None
    return context, configured_resolver(config)


def obstacles(config: Config) -> Iterator[str]:
    """Why no process could start."""
    try:
        _read(config)
    except ValueError as error:
        yield str(error)


def confinement(config: Config) -> Confinement:
    """Its own directory, the port of web servers, the DNS; no UNIX socket, no other file, no program."""
    resolver = config[DNS_RESOLVER]
    dns = {server.port for server in choose_servers(resolver, "")}
    ports = tuple(sorted({config[MTA_STS_TCP_PORT], *dns}))
    directory = config[MTA_STS_DIRECTORY]
    return Confinement(write=(directory,), connect_tcp=ports, udp=True, unix=False, fork=False, attributes=False)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    config = worker.config
    tls, resolver = _prepared[worker]
    cache = Cache(config[MTA_STS_DIRECTORY])
    made: list[Policies] = []
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        source = WebSource(resolver, tls, config[MTA_STS_FETCH_TIMEOUT], config[MTA_STS_TCP_PORT])
        made.append(Policies(cache, source))
        worker.on_wakeup = made[0].renew
        tasks.append(asyncio.get_running_loop().create_task(_renew(made[0])))

    try:
        serve_channels(worker, lambda channel: made[0].serve(channel), start)
    finally:
        cache.close()


async def _renew(policies: Policies) -> None:
    while True:
        policies.renew()
        await asyncio.sleep(ROUND)


PROGRAM = Program(
    name="mta_sts",
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    obstacles=obstacles,
    run=run,
    callers=("net_owner",),
)
