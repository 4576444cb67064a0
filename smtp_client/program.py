"""The SMTP and LMTP client: many deliveries at once in one process, no file but an open queue file, no other program.

The services `smtp`, `relay` and `lmtp` are this program; `smtp_client_protocol` or the service's name says which
protocol it speaks.  `sessions` in master.yaml is the number of deliveries that one process works on at once; those that
only wait for a host are counted apart (qmgr/occupancy.py).
"""

from __future__ import annotations

import random

from pillarbox.lib.config import Config
from pillarbox.lib.config.client_services import config_of, is_lmtp, password_tables
from pillarbox.lib.config.parameters.delivery import SOURCE_ADDRESSES
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.general import SERVICE_NAME, SYSLOG_NAME
from pillarbox.lib.config.parameters.sites import MX_SITES
from pillarbox.lib.config.parameters.smtp_client import (
    SMTP_BIND_ADDRESS,
    SMTP_BIND_ADDRESS6,
    SMTP_CLIENT_PORTS,
    SMTP_WAITING_DELIVERY_LIMIT,
)
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_AUTH_ENABLE, SMTP_SASL_PASSWORD_MAPS
from pillarbox.lib.dns import configured_resolver, parse_server
from pillarbox.lib.dns.authentic import AuthenticResolver
from pillarbox.lib.dns.servers import DNS_PORT
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_async_agent
from pillarbox.lib.process.bequest import ANSWERED_LIMIT
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.limits import Limits, open_files
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.delivery import Deliverer
from pillarbox.smtp_client.destination import parse_port
from pillarbox.smtp_client.login import Logins
from pillarbox.smtp_client.mistakes import mistakes, obstacles
from pillarbox.smtp_client.ourselves import Ourselves
from pillarbox.smtp_client.outgoing import Outgoing, asks_about_names
from pillarbox.smtp_client.passwords import Passwords
from pillarbox.smtp_client.route import Router
from pillarbox.smtp_client.settings import read_settings, tells_postmaster
from pillarbox.smtp_client.sites import Sites
from pillarbox.smtp_client.tables import Tables, asks_lookup
from pillarbox.smtp_client.transport_security import Tls, asks_services

FILES_EACH = 3
"""Open files of one delivery: the message, a connection, and another that is tried beside it."""

OTHER_FILES = 400 + ANSWERED_LIMIT
"""Open files beside those: idle connections, the resolver, the queue manager's request that has not begun, messages
about which it was told and has not heard."""


def confinement(config: Config) -> Confinement:
    """Any server's port and the DNS, UNIX sockets for LMTP and where another room must be asked or told (lookup about a
    table, mta_sts, tlsrpt, cleanup for the postmaster); no file but what an interpreter needs."""
    config = config_of(config, config[SERVICE_NAME])
    ports = config[SMTP_CLIENT_PORTS]
    binds = config[SMTP_BIND_ADDRESS] or config[SMTP_BIND_ADDRESS6] or config[SOURCE_ADDRESSES]
    resolvers = [parse_server(server).port for server in config[DNS_RESOLVER]] or [DNS_PORT]
    return Confinement(
        connect_tcp=(*map(parse_port, ports), *resolvers) if ports else None,
        bind_tcp=(0,) if binds else (),
        udp=True,
        unix=is_lmtp(config, config[SERVICE_NAME])
        or asks_lookup(config)
        or asks_about_names(config)
        or asks_services(config)
        or tells_postmaster(config),
        fork=False,
        limits=Limits(open_files=4096 + FILES_EACH * config[SMTP_WAITING_DELIVERY_LIMIT]),
    )


def secrets(config: Config) -> dict[str, tuple[str, ...]]:
    """The tables that a process reads in `prepare`."""
    return {SMTP_SASL_PASSWORD_MAPS.name: password_tables(config, config[SERVICE_NAME])}


def waiting_limit(config: Config, sessions: int) -> int:
    """How many deliveries beside `sessions` this process lets wait."""
    possible = (open_files() - OTHER_FILES) // FILES_EACH - sessions
    return max(0, min(config[SMTP_WAITING_DELIVERY_LIMIT], possible))


class SmtpClient:
    """One worker process: what `prepare` made for `run`."""

    def __init__(self) -> None:
        self._deliverer: Deliverer | None = None
        self._sites: Sites | None = None

    def prepare(self, worker: Worker) -> None:
        """Read what confinement will forbid: passwords, certificates, resolv.conf, hosts."""
        config = config_of(worker.config, worker.service.name)
        settings = read_settings(config, worker.service.name)
        log.set_program(f"{config[SYSLOG_NAME]}/{settings.protocol}")
        resolver = configured_resolver(config)
        if not settings.lmtp and not settings.disable_dns_lookups:
            self._sites = Sites(resolver, config[MX_SITES], settings.default_port)
        authentic = AuthenticResolver(config)
        router = Router(settings, resolver, Ourselves(config), random.Random(), authentic)
        tables = Tables(config)
        tls = Tls(config, tables, authentic, lmtp=settings.lmtp)
        logins = Logins(config, Passwords(config)) if config[SMTP_SASL_AUTH_ENABLE] else None
        outgoing = Outgoing.configured(config)
        self._deliverer = Deliverer(settings, router, ConnectionCache(settings), tls, logins, outgoing)

    def run(self, worker: Worker) -> None:
        """Deliver until told to stop."""
        deliverer = self._deliverer
        assert deliverer is not None
        worker.on_stop = deliverer.cache.close
        site = self._sites.site if self._sites is not None else None
        sessions = worker.service.sessions
        waiting = waiting_limit(worker.config, sessions)
        serve_async_agent(worker, deliverer.deliver, sessions, site=site, waiting=waiting)


_client = SmtpClient()

PROGRAM = Program(
    name="smtp_client",
    owner="net_owner",
    run=_client.run,
    confinement=confinement,
    prepare=_client.prepare,
    tables=secrets,
    callers=("mail_owner",),
    mistakes=mistakes,
    obstacles=obstacles,
)
