"""Fetching facts that restrictions miss: one function per kind, found by a table; several run at once.

Nothing is raised for what others fail at: the value is `Trouble` then, and the restriction says what follows from it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.policy_service import Endpoint, Patience
from pillarbox.lib.clients.verify import UNKNOWN, Verified
from pillarbox.lib.config.delegation import PolicyServer
from pillarbox.lib.dns import Answer, Failed
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.smtpd.policy.delegation import server as policy_server
from pillarbox.smtpd.policy.facts import Key, Trouble

if TYPE_CHECKING:
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session


async def _name(session: Session) -> object:
    await session.name_settled()
    return session.client.found


async def _recipient(session: Session, address: str) -> object:
    return await session.server.lookup.recipient(address)


async def _route(session: Session, address: str) -> object:
    return await session.server.lookup.resolve(address)


async def _access(session: Session, tables: Any, keys: Any, partial: Any) -> object:
    return await session.server.lookup.access(tables, keys, partial)


async def _owners(session: Session, tables: Any, address: str) -> object:
    return await session.server.lookup.owners(tables, address)


async def _dns(session: Session, name: str, kind: int) -> object:
    return await session.server.resolver.query(name, kind)


async def _policy(session: Session, argument: str, attributes: Any) -> object:
    server = session.server
    wanted = policy_server(argument)
    endpoint = await _endpoint(server, wanted)
    if isinstance(endpoint, Trouble):
        return endpoint
    return await server.policy_services.ask(endpoint, patience(server.policy_patience, wanted), attributes)


async def _greylist(session: Session, recipient: str) -> object:
    answer = session.server.greylist(session, recipient)
    return (answer if answer is None or isinstance(answer, Reply) else await answer) or ""


async def _endpoint(server: Server, wanted: PolicyServer) -> Endpoint | Trouble:
    if wanted.path:
        path = wanted.path if wanted.path.startswith("/") else f"{server.queue_directory}/{wanted.path}"
        return Endpoint(path)
    host = wanted.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        known = server.resolver.hosts.addresses(host)
        found = await server.resolver.addresses(host) if not known else None
        if found is not None and not isinstance(found, Answer):
            return Trouble(f"{host}: {found.reason}")
        host = known[0] if known else str(found.records[0]) if found is not None else host
    return Endpoint("", host, wanted.port)


def patience(common: Patience, wanted: PolicyServer) -> Patience:
    """The times and counts for one server: its own where it has some."""
    return Patience(
        wanted.times.get("timeout", common.timeout),
        max(1, wanted.counts.get("try_limit", common.try_limit)),
        wanted.times.get("retry_delay", common.retry_delay),
        wanted.times.get("max_idle", common.max_idle),
        wanted.times.get("max_ttl", common.max_ttl),
        wanted.counts.get("request_limit", common.request_limit),
    )


async def _quota(session: Session, address: str, size: int) -> object:
    return await session.server.quota.room(address, size)


async def _verify(session: Session, address: str) -> object:
    return await session.server.verify.verify(address)


FETCHERS: Final[dict[object, Callable[..., Awaitable[object]]]] = {
    "name": _name,
    "recipient": _recipient,
    "route": _route,
    "access": _access,
    "owners": _owners,
    "dns": _dns,
    "policy": _policy,
    "greylist": _greylist,
    "quota": _quota,
    "verify": _verify,
}


async def fetch(session: Session, key: Key) -> object:
    """The value of one fact."""
    kind, *subject = key
    try:
        return await FETCHERS[kind](session, *subject)
    except (LookupFailed, ServiceUnavailable) as error:
        return Trouble(error.reason)


async def fetch_all(session: Session, keys: list[Key]) -> list[object]:
    """The values of several facts, asked for at the same time."""
    if len(keys) == 1:
        return [await fetch(session, keys[0])]
    return list(await asyncio.gather(*(fetch(session, key) for key in keys)))


AT_HAND: Final[dict[object, Callable[..., object]]] = {
    "recipient": lambda server, address: server.lookup.known_recipient(address),
    "route": lambda server, address: server.lookup.known_route(address),
    "access": lambda server, *question: server.lookup.known_access(*question),
    "owners": lambda server, *question: server.lookup.known_access(*question),
    "dns": lambda server, name, kind: server.resolver.cache.get((name, kind)),
}
"""What this process may have kept, by kind."""


def at_hand(server: Server, key: Key) -> object:
    """The value of a fact that this process knows already; None: it has to be asked for."""
    known = AT_HAND.get(key[0])
    return known(server, *key[1:]) if known is not None else None


def is_lasting(value: object) -> bool:
    """Whether a value may be kept beyond one decision: a failure is asked again."""
    if isinstance(value, Verified):
        return value.status != UNKNOWN
    return not isinstance(value, Trouble | Failed)
