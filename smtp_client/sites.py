"""Which site a next hop belongs to: the servers that it has in common with other domains.

The name of a site is made of the names of the MX hosts, so that domains with the same ones have the same site; the
hosts of big providers, whose customers have names of their own, are recognised by `mx_sites`.  A next hop that is no
domain, has no MX records, or whose records nobody can say now has no site: it is a destination by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from pillarbox.lib.dns import Answer, Failed, Resolver
from pillarbox.smtp_client.destination import BadDestination, parse_destination
from pillarbox.smtp_client.route import MX_LIMIT

LONGEST_NAME = 200
"""Characters of a site's name; a longer one is cut, and told apart by a hash."""

FAILURE_TTL = 60.0
"""Seconds until a look-up that failed is worth another one."""

NONE_TTL = 3600.0
"""Seconds for which "no site" holds where the DNS does not say."""


def site_name(hosts: Iterable[str], providers: Mapping[str, str]) -> str:
    """The site of a set of MX hosts, "" for none of them; `providers` is `mx_sites`."""
    names = sorted({host.lower().removesuffix(".") for host in hosts} - {""})
    known = {_provider(name, providers) for name in names}
    if len(known) == 1 and "" not in known:
        return known.pop()
    name = ",".join(names)
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}#{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def _provider(host: str, providers: Mapping[str, str]) -> str:
    if host in providers:
        return providers[host]
    dot = host.find(".")
    while dot >= 0:
        if host[dot:] in providers:
            return providers[host[dot:]]
        dot = host.find(".", dot + 1)
    return ""


class Sites:
    """Answers the queue manager's question."""

    def __init__(self, resolver: Resolver, providers: Mapping[str, str], default_port: int) -> None:
        self._resolver = resolver
        self._providers = providers
        self._default_port = default_port

    async def site(self, nexthop: str) -> tuple[str, float]:
        """The site of a next hop, or "", and for how many seconds that holds."""
        try:
            destination = parse_destination(nexthop, self._default_port)
        except BadDestination:
            return "", NONE_TTL
        if not destination.use_mx or destination.literal:
            return "", NONE_TTL
        outcome = await self._resolver.mx(destination.host)
        if isinstance(outcome, Failed):
            return "", FAILURE_TTL
        if not isinstance(outcome, Answer):
            return "", outcome.ttl or FAILURE_TTL
        name = site_name([mx.exchange for mx in outcome.records[:MX_LIMIT]], self._providers)
        if name and destination.port != self._default_port:
            name += f":{destination.port}"
        return name, outcome.ttl
