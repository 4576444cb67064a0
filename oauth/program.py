"""The service `oauth`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.oauth import Endpoint, EndpointError, configured_endpoint, endpoint_port
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.oauth import OAUTH_CACHE_TTL, OAUTH_TIMEOUT
from pillarbox.lib.dns import Resolver, choose_servers, configured_resolver
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement
from pillarbox.oauth.introspection import Rules
from pillarbox.oauth.server import AuthorizationServer
from pillarbox.oauth.service import Introspector

_prepared: dict[Worker, tuple[Endpoint | None, Resolver]] = {}
"""From `prepare`, which may read files, to `run`, which may not."""


def confinement(config: Config) -> Confinement:
    """The authorization server's port, and the DNS to find it; nothing at all where none is configured."""
    ports = endpoint_port(config)
    if not ports:
        return Confinement(unix=False, fork=False)
    resolver = config[DNS_RESOLVER]
    dns = {server.port for server in choose_servers(resolver, "")}
    return Confinement(connect_tcp=tuple(sorted({*ports, *dns})), udp=True, unix=False, fork=False)


def prepare(worker: Worker) -> None:
    """Read credentials, authorities, resolv.conf and hosts."""
    try:
        _prepared[worker] = configured_endpoint(worker.config), configured_resolver(worker.config)
    except (EndpointError, ValueError) as error:
        log.fatal(str(error))
        raise SystemExit(1) from None


def obstacles(config: Config) -> Iterator[str]:
    """Why no process could start."""
    try:
        configured_endpoint(config)
        configured_resolver(config)
    except (EndpointError, ValueError) as error:
        yield str(error)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    endpoint, resolver = _prepared[worker]
    introspector: Introspector | None = None

    async def start() -> None:
        nonlocal introspector
        config = worker.config
        server = AuthorizationServer(endpoint, resolver, config[OAUTH_TIMEOUT]) if endpoint is not None else None
        introspector = Introspector(server, Rules.configured(config), config[OAUTH_CACHE_TTL], time.time)

    async def serve(channel: AsyncChannel) -> None:
        assert introspector is not None
        await introspector.serve(channel)

    serve_channels(worker, serve, start)


PROGRAM = Program(
    name="oauth",
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    run=run,
    callers=("auth_owner",),
    obstacles=obstacles,
)
