"""What is wrong with the configuration of a service of `smtp_client`: the lines for `pillarbox check`.

`obstacles` keep a process from starting; `mistakes` keep the mail of a destination waiting for ever.  It is all read
here in the way in which processes and deliveries read it, tables included where they can be listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pillarbox.lib.clients import mta_sts, tlsrpt
from pillarbox.lib.config import Config
from pillarbox.lib.config.client_services import config_of, is_lmtp
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import tls as t
from pillarbox.lib.config.parameters.dns import DNSSEC_VALIDATION
from pillarbox.lib.config.parameters.general import SERVICE_NAME
from pillarbox.lib.config.parameters.lookup import (
    DEFAULT_TRANSPORT,
    RELAYHOST,
    SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    SENDER_DEPENDENT_RELAYHOST_MAPS,
    TRANSPORT_MAPS,
)
from pillarbox.lib.config.parameters.mta_sts import SMTP_MTA_STS
from pillarbox.lib.config.parameters.smtp_client import SMTP_CLIENT_PORTS, SMTP_FALLBACK_RELAY, SMTP_TLS_SECURITY_LEVEL
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_AUTH_ENABLE, SMTP_SASL_PASSWORD_MAPS
from pillarbox.lib.config.parameters.tlsrpt import SMTP_TLSRPT_ENABLE
from pillarbox.lib.dns.authentic import AuthenticResolver
from pillarbox.lib.tables.listing import listed
from pillarbox.lib.tls import TlsError
from pillarbox.smtp_client.destination import BadDestination, parse_destination, parse_port, split_destinations
from pillarbox.smtp_client.policies import configured_reader
from pillarbox.smtp_client.settings import read_settings
from pillarbox.smtp_client.tables import Tables
from pillarbox.smtp_client.tls_policy import DANE_LEVELS, BadPolicy
from pillarbox.smtp_client.transport_security import Tls

_Tables = Parameter[tuple[str, ...]]


def obstacles(config: Config) -> Iterator[str]:
    """A line for each reason why no process of the service could start."""
    service = config[SERVICE_NAME]
    config = config_of(config, service)
    try:
        read_settings(config, service)
    except ValueError as error:
        yield str(error)
    for port in config[SMTP_CLIENT_PORTS]:
        try:
            parse_port(port)
        except BadDestination:
            yield f'{SMTP_CLIENT_PORTS.name}: a port was expected, not "{port}"'
    try:
        Tls(config, Tables(config), AuthenticResolver(config), lmtp=is_lmtp(config, service))
    except (TlsError, ValueError, OSError) as error:
        yield str(error)


def mistakes(config: Config) -> Iterator[str]:
    """A line for each mistake with which processes start all the same."""
    service = config[SERVICE_NAME]
    config = config_of(config, service)
    if not is_lmtp(config, service):
        yield from _helpers(config)
    yield from _next_hops(config, service)
    yield from _logins(config)
    yield from _protection(config)


def _helpers(config: Config) -> Iterator[str]:
    """A master.yaml from before they were may lack services that are asked; then nobody would notice."""
    for parameter, name in ((SMTP_MTA_STS, mta_sts.SERVICE), (SMTP_TLSRPT_ENABLE, tlsrpt.SERVICE)):
        if config[parameter] and name not in config.services:
            cure = f"add it ({name}: {{command: {name}, warm: 0, wakeup: 900s}}), or set {parameter.name}: no"
            yield f'{parameter.name}: master.yaml has no service "{name}"; {cure}'


def _next_hops(config: Config, service: str) -> Iterator[str]:
    for relay in config[SMTP_FALLBACK_RELAY]:
        yield from _next_hop(SMTP_FALLBACK_RELAY, relay)
    parameter: _Tables
    for parameter in (TRANSPORT_MAPS, SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS):
        for where, _, value in listed(config[parameter]):
            transport, _, nexthop = value.partition(":")
            if transport.strip() == service and nexthop.strip():
                yield from _next_hop(parameter, nexthop.strip(), where)
    if config[DEFAULT_TRANSPORT].partition(":")[0] != service:
        return
    if config[RELAYHOST]:
        yield from _next_hop(RELAYHOST, config[RELAYHOST])
    for where, _, value in listed(config[SENDER_DEPENDENT_RELAYHOST_MAPS]):
        if value.strip().upper() != "DUNNO":
            yield from _next_hop(SENDER_DEPENDENT_RELAYHOST_MAPS, value.strip(), where)


def _next_hop(parameter: Parameter[Any], text: str, where: str = "") -> Iterator[str]:
    for each in split_destinations(text):
        try:
            parse_destination(each, 25)
        except BadDestination as error:
            yield f"{parameter.name}: {where}{error}"


def _logins(config: Config) -> Iterator[str]:
    if not config[SMTP_SASL_AUTH_ENABLE]:
        return
    if not config[SMTP_SASL_PASSWORD_MAPS]:
        yield f"{SMTP_SASL_AUTH_ENABLE.name}: without {SMTP_SASL_PASSWORD_MAPS.name} there is nothing to log in with"
    for where, _, value in listed(config[SMTP_SASL_PASSWORD_MAPS]):
        name, colon, secret = value.partition(":")
        if not (name and colon and secret):
            yield f'{SMTP_SASL_PASSWORD_MAPS.name}: {where}"name:password" was expected'  # and the value is a secret


def _protection(config: Config) -> Iterator[str]:
    try:
        reader = configured_reader(config)
    except (TlsError, ValueError, OSError):
        return  # one of the obstacles
    levels = [config[SMTP_TLS_SECURITY_LEVEL]]
    for where, _, value in listed(config[t.SMTP_TLS_POLICY_MAPS]):
        try:
            levels.append(reader.read(value).level)
        except (BadPolicy, TlsError) as error:
            yield f"{t.SMTP_TLS_POLICY_MAPS.name}: {where}{error}"
    if config[DNSSEC_VALIDATION] == "none" and (wanted := DANE_LEVELS.intersection(levels)):
        yield f"{DNSSEC_VALIDATION.name}: with none no TLSA record is believed, and the level {min(wanted)} is useless"
