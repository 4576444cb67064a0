"""The program: port 25, submission, LMTP, as the service's parameters say."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.access import rules_of
from pillarbox.lib.config.delegation import parse_policy_server
from pillarbox.lib.config.filter_endpoint import Endpoint
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.smtpd_content import SMTPD_PROXY_FILTER
from pillarbox.lib.dns import choose_servers
from pillarbox.lib.process import Program, Worker, serve_connections, serve_protocol
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import smtp_role
from pillarbox.smtpd.handlers import HANDLERS
from pillarbox.smtpd.proxied import serve_proxied
from pillarbox.smtpd.server import Server
from pillarbox.smtpd.session import Session
from pillarbox.smtpd.wrapper import serve_wrapped

_prepared: list[Server] = []


def prepare(worker: Worker) -> None:
    """Read certificate, key, resolv.conf and hosts as the starting user."""
    _prepared[:] = [Server.prepare(worker.config, worker.service.name, worker.tickets)]


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    (server,) = _prepared

    async def start() -> None:
        server.begin()

    worker.on_stop = server.stop
    if server.proxies is not None:
        serve_connections(worker, lambda connection: serve_proxied(server, HANDLERS, connection), start)
    elif server.wrapper:
        serve_connections(worker, lambda connection: serve_wrapped(server, HANDLERS, connection), start)
    else:
        serve_protocol(worker, lambda released: Session(server, HANDLERS, released), start)


def confinement(config: Config) -> Confinement:
    """UNIX sockets to the other services, DNS over UDP and TCP, policy servers, a filter; no file, no program."""
    ports = tuple(sorted({*dns_ports(config), *policy_ports(config), *filter_ports(config)}))
    return Confinement(connect_tcp=ports, udp=True, fork=False)


def dns_ports(config: Config) -> tuple[int, ...]:
    """The TCP ports of the configured DNS servers: truncated answers are asked for again over TCP."""
    configured = config[DNS_RESOLVER]
    return tuple(sorted({server.port for server in choose_servers(configured, "")}))


def policy_ports(config: Config) -> tuple[int, ...]:
    """The TCP ports of the policy servers that restriction lists name."""
    servers = [parse_policy_server(rule.argument) for rule in rules_of(config) if rule.name == "check_policy_service"]
    return tuple({server.port for server in servers if server.port})


def filter_ports(config: Config) -> tuple[int, ...]:
    """The TCP port of smtpd_proxy_filter."""
    address = config[SMTPD_PROXY_FILTER]
    endpoint = Endpoint.parse(address) if address else Endpoint()
    return (endpoint.port,) if endpoint.port else ()


PROGRAM = Program(
    name="smtpd",
    run=run,
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    tls=smtp_role,
    retires=True,
)
