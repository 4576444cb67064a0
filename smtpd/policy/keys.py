"""The orders in which names, addresses and networks are looked up in access tables (access(5)).

An order is a tuple of (key, whether it is a part of what is looked for); tables of patterns see the whole only.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.address.address import DOMAIN_LIMIT, split_address, unquote_local
from pillarbox.lib.address.extension import split_extension
from pillarbox.lib.tables.keys import domain_keys

Order = tuple[tuple[str, bool], ...]


def name_keys(name: str, with_dot: bool) -> Order:
    """A host name or domain and its parents: `mx.example.com`, `example.com`, `com`, or `.example.com`, `.com`.

    What is longer than a domain can be has no parents: a client may say anything in HELO.
    """
    if len(name) > DOMAIN_LIMIT:
        return ((name, False),)
    first, *rest = domain_keys(name, parents_with_dot=with_dot) or [name]
    return ((first, False), *((key, True) for key in rest))


def network_keys(address: str) -> Order:
    """An IP address and its networks at the borders of numbers: `192.0.2.1`, `192.0.2`, `192.0`, `192`."""
    return tuple((key, number > 0) for number, key in enumerate(_networks(address)))


def _networks(address: str) -> Iterator[str]:
    separator = ":" if ":" in address else "."
    while address:
        yield address
        address = address.rpartition(separator)[0]


def host_keys(name: str, address: str, with_dot: bool) -> Order:
    """A client: its name with parents, then its address with networks."""
    return (*name_keys(name, with_dot), *network_keys(address))


def address_keys(address: str, delimiters: str, with_dot: bool) -> Order:
    """A mail address: user+ext@domain, user@domain, domain, its parents, user+ext@, user@."""
    written, domain = split_address(address)
    local = unquote_local(written)
    user, extension = split_extension(local, delimiters) if delimiters else (local, None)
    keys = [(f"{local}@{domain}", False)]
    if extension is not None:
        keys.append((f"{user}@{domain}", True))
    keys += ((key, True) for key in domain_keys(domain, parents_with_dot=with_dot))
    keys.append((f"{local}@", True))
    if extension is not None:
        keys.append((f"{user}@", True))
    return tuple(keys)
