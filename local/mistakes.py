"""What is wrong with the configuration of local delivery: the lines for `pillarbox check`.

`obstacles` keep the service from starting; `mistakes` keep mail waiting, or have it refused that was taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import DEFAULT_PRIVS, MESSAGE_SIZE_LIMIT
from pillarbox.lib.config.parameters.local import (
    FALLBACK_TRANSPORT,
    FALLBACK_TRANSPORT_MAPS,
    MAILBOX_COMMAND_MAPS,
    MAILBOX_SIZE_LIMIT,
    MAILBOX_TRANSPORT,
    MAILBOX_TRANSPORT_MAPS,
)
from pillarbox.lib.sieve_box import site
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity
from pillarbox.lib.tables import TableError
from pillarbox.lib.tables.kept import open_kept
from pillarbox.lib.tables.listing import listed


def obstacles(config: Config) -> Iterator[str]:
    """A line for each reason why no process of the service could start."""
    tables = config[MAILBOX_COMMAND_MAPS]
    try:
        open_kept(MAILBOX_COMMAND_MAPS.name, tables)
    except TableError as error:
        yield str(error)


def mistakes(config: Config) -> Iterator[str]:
    """A line for each mistake."""
    yield from obstacles(config)
    yield from site.mistakes(config)
    for parameter in (MAILBOX_TRANSPORT, FALLBACK_TRANSPORT):
        yield from _transport(config, parameter.name, config[parameter])
    for maps in (MAILBOX_TRANSPORT_MAPS, FALLBACK_TRANSPORT_MAPS):
        for where, _, value in listed(config[maps]):
            yield from _transport(config, f"{maps.name}: {where.removesuffix(': ')}", value)
    most, largest = config[MAILBOX_SIZE_LIMIT], config[MESSAGE_SIZE_LIMIT]
    if most and (not largest or most < largest):
        yield (
            f"{MAILBOX_SIZE_LIMIT.name}: {most} is less than {MESSAGE_SIZE_LIMIT.name} ({largest or 'none'}): "
            "a message that is taken could not be delivered"
        )
    try:
        if resolve_identity(config[DEFAULT_PRIVS]).uid == 0:
            yield f"{DEFAULT_PRIVS.name}: a user without rights is expected, not root"
    except PrivilegeError as error:
        yield f"{DEFAULT_PRIVS.name}: {error}"


def _transport(config: Config, where: str, value: str) -> Iterator[str]:
    """What is wrong with `transport:nexthop`; "" is none."""
    name = value.partition(":")[0].strip()
    if value and name not in config.services:
        yield f'{where}: "{value}": transport:nexthop was expected, where transport is a service of master.yaml'
