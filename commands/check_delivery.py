"""What `pillarbox check` finds about the way out: transports that there are not, addresses that are not ours, the texts
of reports."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.families import FAMILIES
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.delivery import (
    SOURCE_ADDRESSES,
    SUPPRESSION_BOUNCE_LIMIT,
    SUPPRESSION_ENABLE,
    WARM_UP,
)
from pillarbox.lib.config.parameters.lookup import SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS, TRANSPORT_MAPS
from pillarbox.lib.config.parameters.qmgr import DEFER_TRANSPORTS
from pillarbox.lib.config.parameters.smtp_client import SMTP_BIND_ADDRESS, SMTP_BIND_ADDRESS6
from pillarbox.lib.message.dsn.configured import expanded, read_file
from pillarbox.lib.tables.listing import listed

BUILT_IN_TRANSPORTS = ("error", "retry", "discard")
"""Those that the queue manager carries out itself."""

SHOWN = 20
"""Findings about one parameter; a table that is wrong throughout fills no screen."""


def look_at_delivery(config: Config) -> Iterator[str]:
    """One line for each mistake."""
    yield from _transports(config)
    yield from _misplaced(config)
    yield from _addresses(config)
    if config[SUPPRESSION_BOUNCE_LIMIT] and not config[SUPPRESSION_ENABLE]:
        yield f"{SUPPRESSION_BOUNCE_LIMIT.name}: has no effect without {SUPPRESSION_ENABLE.name}: yes"
    faults: list[str] = []
    expanded(config, read_file(config, faults.append), faults.append)
    yield from faults


def _transports(config: Config) -> Iterator[str]:
    known = [*config.services, *BUILT_IN_TRANSPORTS]
    for name in config[DEFER_TRANSPORTS]:
        if name not in config.services:
            yield f'{DEFER_TRANSPORTS.name}: master.yaml has no service "{name}"{nearest(name, config.services)}'
    parameter: Parameter[tuple[str, ...]]
    for parameter in (TRANSPORT_MAPS, SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS):
        found = 0
        for where, _, value in listed(config[parameter]):
            name = value.partition(":")[0].strip()
            if name and value.strip().upper() != "DUNNO" and name not in known:
                yield f'{parameter.name}: {where}master.yaml has no service "{name}"{nearest(name, known)}'
                found += 1
                if found == SHOWN:
                    break


def _misplaced(config: Config) -> Iterator[str]:
    """Limits of transports among a service's options: the queue manager keeps them, and does not look there."""
    for service in config.services.values():
        for name in service.options if service.command != "qmgr" else ():
            for family in FAMILIES:
                if name in (family.default.name, service.name + family.suffix):
                    cure = f"write {service.name}{family.suffix} into main.yaml"
                    yield f"master.yaml: {service.name}: {name}: has no effect here; {cure}"


def _addresses(config: Config) -> Iterator[str]:
    pooled: set[str] = set()
    for service in config.services.values():
        view = config.for_service(service)
        if service.command != "smtp_client":
            continue
        for source in view[SOURCE_ADDRESSES]:
            pooled.update(source.addresses)
            for address in source.addresses:
                yield from _ours(SOURCE_ADDRESSES.name, address)
        for parameter in (SMTP_BIND_ADDRESS, SMTP_BIND_ADDRESS6):
            if view[parameter]:
                yield from _ours(parameter.name, view[parameter].strip("[]"))
    for address in config[WARM_UP]:
        if address not in pooled:
            yield f"{WARM_UP.name}: {address} is none of {SOURCE_ADDRESSES.name}: nothing is sent from there"


def _ours(name: str, address: str) -> Iterator[str]:
    """Whether a connection could be made from an address: it is bound, and let go."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        yield f'{name}: an IP address was expected, not "{address}"'
        return
    try:
        with socket.socket(family) as trial:
            trial.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            yield f"{name}: this machine has no address {address}"
