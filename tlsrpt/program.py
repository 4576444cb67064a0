"""The program: one process, one event loop; its own directory, cleanup, the DNS and HTTPS, and nothing of that where
`smtp_tlsrpt_enable` is no."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.clients.cleanup import AsyncCleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import tlsrpt as parameters
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.general import MYHOSTNAME, NET_OWNER
from pillarbox.lib.dns import Answer, Failed, Resolver, choose_servers, configured_resolver
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.process.own_directory import make_own_directory
from pillarbox.lib.system.confinement import Confinement
from pillarbox.tlsrpt.counts import Counts
from pillarbox.tlsrpt.daily import AskWish, Daily
from pillarbox.tlsrpt.delivery import Outside
from pillarbox.tlsrpt.ledger import Ledger
from pillarbox.tlsrpt.report import Reporter
from pillarbox.tlsrpt.service import Recorder
from pillarbox.tlsrpt.wish import wished_places

ROUND: Final = 300.0
"""Seconds between two looks at what is due, while the process lives; when it does not, master wakes it (`wakeup`)."""

_prepared: dict[Worker, tuple[ssl.SSLContext, Resolver]] = {}
"""From `prepare`, which may read files, to `run`, which may not."""


def _ports(config: Config) -> tuple[int, ...]:
    return tuple(int(word) for word in config[parameters.TLSRPT_HTTPS_PORTS])


def prepare(worker: Worker) -> None:
    """Make the directory, ours alone; read authorities, resolv.conf and hosts."""
    config = worker.config
    if not config[parameters.SMTP_TLSRPT_ENABLE]:
        return
    make_own_directory(config, config[parameters.TLSRPT_DIRECTORY], config[NET_OWNER])
    try:
        _prepared[worker] = _read(config)
    except ValueError as error:
        log.fatal(str(error))
        raise SystemExit(1) from None


def _read(config: Config) -> tuple[ssl.SSLContext, Resolver]:
    """Raises ValueError that says what is wrong."""
    cafile = config[parameters.TLSRPT_CAFILE]
    try:
        context = ssl.create_default_context(cafile=cafile or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{parameters.TLSRPT_CAFILE.name}: cannot read {cafile}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context, configured_resolver(config)


def obstacles(config: Config) -> Iterator[str]:
    """Why no process could start."""
    if not config[parameters.SMTP_TLSRPT_ENABLE]:
        return
    try:
        _read(config)
    except ValueError as error:
        yield str(error)


def confinement(config: Config) -> Confinement:
    """Its own directory, UNIX sockets to cleanup, ports of web servers, the DNS; no other file, no program."""
    if not config[parameters.SMTP_TLSRPT_ENABLE]:
        return Confinement(unix=False, fork=False)
    resolver = config[DNS_RESOLVER]
    dns = {server.port for server in choose_servers(resolver, "")}
    ports = tuple(sorted({*_ports(config), *dns}))
    directory = config[parameters.TLSRPT_DIRECTORY]
    return Confinement(write=(directory,), connect_tcp=ports, udp=True, fork=False, attributes=False)


def run(worker: Worker) -> None:
    """Serve until told to stop; where no reports are wanted, end at once."""
    if not worker.config[parameters.SMTP_TLSRPT_ENABLE]:
        _refuse(worker)
        return
    config = worker.config
    counts, ledger = Counts(config[parameters.TLSRPT_DIRECTORY]), Ledger(config[parameters.TLSRPT_DIRECTORY])
    recorder = Recorder(counts, time.time)
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        daily = _daily(worker, counts, ledger)
        begun = asyncio.Event()
        worker.on_wakeup = begun.set
        loop = asyncio.get_running_loop()
        tasks.extend((loop.create_task(_rounds(worker, daily, begun)), loop.create_task(_tick(begun))))

    try:
        serve_channels(worker, recorder.serve, start)
    finally:
        counts.close()
        ledger.close()


def _refuse(worker: Worker) -> None:
    async def refuse(channel: AsyncChannel) -> None:
        channel.close()

    async def start() -> None:
        asyncio.get_running_loop().call_later(1.0, worker.stop)

    serve_channels(worker, refuse, start)


async def _tick(begun: asyncio.Event) -> None:
    while True:
        begun.set()
        await asyncio.sleep(ROUND)


async def _rounds(worker: Worker, daily: Daily, begun: asyncio.Event) -> None:
    while True:
        await begun.wait()
        begun.clear()
        worker.under_way += 1  # a process with reports to send is not idle
        try:
            await daily.round()
        finally:
            worker.under_way -= 1


def _daily(worker: Worker, counts: Counts, ledger: Ledger) -> Daily:
    config = worker.config
    tls, resolver = _prepared[worker]
    sender = config[parameters.TLSRPT_SENDER]
    delivery = Outside(
        AsyncCleanupClient(config), resolver, tls, sender=sender, host=config[MYHOSTNAME], ports=_ports(config)
    )
    reporter = Reporter(
        config[parameters.TLSRPT_ORGANIZATION_NAME],
        config[parameters.TLSRPT_CONTACT],
        sender.rpartition("@")[2] or config[MYHOSTNAME],
    )
    return Daily(
        counts,
        ledger,
        _wishes(resolver),
        delivery,
        reporter,
        delay=config[parameters.TLSRPT_DELAY],
        unique=lambda: secrets.token_hex(8),
    )


def _wishes(resolver: Resolver) -> AskWish:
    async def ask(domain: str) -> tuple[str, ...] | None:
        outcome = await resolver.txt(f"_smtp._tls.{domain}")
        if isinstance(outcome, Failed):
            return None
        return wished_places(outcome.records) if isinstance(outcome, Answer) else ()

    return ask


PROGRAM = Program(
    name="tlsrpt",
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    obstacles=obstacles,
    run=run,
    callers=("net_owner",),
)
