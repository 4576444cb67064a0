"""The client of the service oauth: whose is this bearer token?

    answer = await oauth.introspect(token)       # answer.status "" and answer.username, or what is wrong with it

Raises ServiceUnavailable where nobody can tell now: the service or the authorization server is away, hangs, or talks
nonsense.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import NoAnswer, TaggedConnection
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.oauth import OAUTH_TIMEOUT
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError

SERVICE = "oauth"

GRACE = 5.0
"""Seconds beyond the service's own time limit."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A good token has a `username` and no `status`; a bad one `invalid_token` or `insufficient_scope` (RFC 6750).

    `scope` and `configuration` are for the client of a bad one (RFC 7628 section 3.2.2).
    """

    username: str
    status: str = ""
    scope: str = ""
    configuration: str = ""


class AsyncOAuthClient:
    """For event-driven programs; any number of calls may run at once."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)
        self._timeout = config[OAUTH_TIMEOUT] + GRACE
        self._connection: TaggedConnection | None = None
        self._connecting = asyncio.Lock()

    async def introspect(self, token: str) -> TokenAnswer:
        """See the module."""
        reply = await self._call({"do": "introspect", "token": token})
        return TokenAnswer(
            reply.text("username"), reply.text("status"), reply.text("scope"), reply.text("configuration")
        )

    async def _call(self, request: dict[str, object], *, again: bool = True) -> Attributes:
        fresh = False
        try:
            async with self._connecting:
                if self._connection is None or self._connection.broken:
                    fresh = True
                    channel = await AsyncChannel.connect(self._path, self._timeout)
                    self._connection = TaggedConnection(channel, self._timeout)
                connection = self._connection
            reply = await connection.ask(request)
            if not reply.boolean("ok"):
                raise ServiceUnavailable(f"oauth service: {reply.text('why')}")
            return reply
        except (ChannelClosed, ProtocolError, NoAnswer) as error:
            if again and not fresh and not isinstance(error, NoAnswer):
                return await self._call(request, again=False)
            raise ServiceUnavailable(f"oauth service: {error}") from None

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.fail(ChannelClosed("the client was closed"))
            self._connection = None
