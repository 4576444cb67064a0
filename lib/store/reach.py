"""What a program must reach beside the mailboxes' directory, so that it can open the configured stores.

With PostgreSQL these are the servers that `mail_location` and `mail_location_domains` name: an account's own location
is read only when it logs in, when the program has long been confined.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.stores import MAIL_LOCATION, MAIL_LOCATION_DOMAINS
from pillarbox.lib.store.kinds import load


@dataclass(frozen=True, slots=True)
class Reach:
    """In the terms of `lib.system.confinement`."""

    read: tuple[str, ...] = ()
    """Certificates, and files with passwords."""
    ports: tuple[int, ...] = ()
    """TCP ports of servers."""
    unix: bool = False
    """Whether a server has a UNIX socket."""
    udp: bool = False
    """Whether the address of a server is asked of the resolver."""


def load_stores(config: Config) -> None:
    """Import what the stores of one configuration need, while everything can be read."""
    for location in (config[MAIL_LOCATION], *config[MAIL_LOCATION_DOMAINS].values()):
        load(location.partition(":")[0])


def reach(config: Config) -> Reach:
    """That of the stores of one configuration.  A location that makes no sense is left out: opening it tells."""
    read: dict[str, None] = {}
    ports: set[int] = set()
    unix = udp = False
    for location in (config[MAIL_LOCATION], *config[MAIL_LOCATION_DOMAINS].values()):
        kind, _, place = location.partition(":")
        if kind != "pgsql":
            continue
        from pillarbox.lib.store.sql.place import parse_place

        try:
            database, _ = parse_place(place)
        except ValueError:
            continue
        server = database.server()
        if (objects := database.objects) is not None:
            ports.add(objects.port)
            udp = udp or not _is_address(objects.host)
        read.update(dict.fromkeys(database.files()))
        if server.path:
            unix = True
        else:
            ports.add(server.port)
            udp = udp or not _is_address(server.host)
    return Reach(tuple(read), tuple(sorted(ports)), unix, udp)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
