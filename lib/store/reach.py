"""What a program must reach beside the mailboxes' directory, so that it can open the configured stores.

With PostgreSQL these are the servers that `mail_location` and `mail_location_domains` name: an account's own location
is read only when it logs in, when the program has long been confined.  Therefore what opens stores in files is imported
here, once for all processes: any account may have one.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.location import expand_location
from pillarbox.lib.config.parameters.general import VMAIL_OWNER
from pillarbox.lib.config.parameters.stores import MAIL_LOCATION, MAIL_LOCATION_DOMAINS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.store.kinds import FILES, load
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity

for _kind in FILES:
    load(_kind)


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


def mistakes(config: Config) -> Iterator[str]:
    """What would keep mail away from the configured stores, a line each."""
    base = config[VIRTUAL_MAILBOX_BASE].rstrip("/")
    named = {MAIL_LOCATION.name: config[MAIL_LOCATION]}
    named |= {f"{MAIL_LOCATION_DOMAINS.name}: {domain}": each for domain, each in config[MAIL_LOCATION_DOMAINS].items()}
    for name, location in named.items():
        kind, _, place = location.partition(":")
        if kind != "pgsql":
            if not place.startswith(("%h", f"{base}/")):
                yield f"{name}: {place} is not below {VIRTUAL_MAILBOX_BASE.name}, where mail sessions may write"
            continue
        if importlib.util.find_spec("pg8000") is None:
            yield f"{name}: pgsql needs the Python package pg8000 (pip install 'pillarbox[sql]')"
        from pillarbox.lib.store.sql.place import cache_directory, parse_place

        try:
            place = _of_somebody(location, base)
            database, _ = parse_place(place)
            cache = cache_directory(place)
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if cache is not None and not cache.startswith(f"{base}/"):
            yield f"{name}: cache is not below {VIRTUAL_MAILBOX_BASE.name}, where mail sessions may write"
        for path in database.files():
            if why := _unreadable(path, config):
                yield f"{name}: {path}: {why}"


def _of_somebody(location: str, base: str) -> str:
    """The place in a location, for some account."""
    filled = expand_location(location, "local@domain", "local", "domain", f"{base}/domain/local")
    return filled.partition(":")[2]


def _unreadable(path: str, config: Config) -> str:
    """Why who opens the stores cannot read a file; "" where that can, or cannot be told."""
    try:
        about = os.stat(path)
        owner = resolve_identity(config[VMAIL_OWNER])
    except OSError as error:
        return error.strerror or "cannot be read"
    except PrivilegeError:
        return ""
    if os.geteuid() != 0:
        return "" if os.access(path, os.R_OK) else "cannot be read"
    needed = stat.S_IROTH
    if about.st_uid == owner.uid:
        needed = stat.S_IRUSR
    elif about.st_gid == owner.gid:
        needed = stat.S_IRGRP
    if not about.st_mode & needed and _has_access_list(path):
        return ""
    return "" if about.st_mode & needed else f"{VMAIL_OWNER.name} (uid {owner.uid}) cannot read it"


def _has_access_list(path: str) -> bool:
    """Whether others are named beside the mode (acl(5))."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def reach(config: Config) -> Reach:
    """That of the stores of one configuration.  A location that makes no sense is left out: opening it tells."""
    read: dict[str, None] = {}
    ports: set[int] = set()
    unix = udp = False
    for location in (config[MAIL_LOCATION], *config[MAIL_LOCATION_DOMAINS].values()):
        if not location.startswith("pgsql:"):
            continue
        from pillarbox.lib.store.sql.place import parse_place

        try:
            database, _ = parse_place(_of_somebody(location, ""))
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
