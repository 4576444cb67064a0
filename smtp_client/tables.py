"""The tables of the client that it may not read itself, asked of the lookup service: TLS policies.

A parameter that names no table costs nothing, and a client none of whose tables is configured may not even open a
socket to ask.
"""

from __future__ import annotations

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.access import CLIENT_CHECKS, CLIENT_TABLES
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.tables.remote import remote_parts


def asks_lookup(config: Config) -> bool:
    """Whether a service with this configuration has questions."""
    checks = (spec for parameter in CLIENT_CHECKS for spec in config[parameter])
    return any(config[parameter] for parameter in CLIENT_TABLES) or any(map(remote_parts, checks))


class Tables:
    """Answers for one service."""

    def __init__(self, config: Config) -> None:
        self._named = {parameter.name: config[parameter] for parameter in CLIENT_TABLES}
        self._lookup = AsyncLookupClient(config) if asks_lookup(config) else None

    async def find(self, parameter: Parameter[tuple[str, ...]], *keys: str) -> str | None:
        """The value of the first key that one of the parameter's tables has, None where none has any.

        A key that begins with a dot (a parent domain) or with "@" is part of a name: tables of patterns are not asked
        about it.  Raises LookupUnavailable: nobody can say now, and the mail waits.
        """
        named = self._named[parameter.name]
        if not named or self._lookup is None:
            return None
        found = await self._lookup.access(named, keys, [key[:1] in (".", "@") for key in keys])
        return None if found is None else found.value

    async def close(self) -> None:
        """End the connection to the service."""
        if self._lookup is not None:
            await self._lookup.close()
