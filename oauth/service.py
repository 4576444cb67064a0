"""The requests of the service, and the memory of good tokens.

{"do": "introspect", "token": TEXT}
{"ok": true, "username": TEXT, "status": TEXT, "scope": TEXT, "configuration": TEXT}     the verdict
{"ok": false, "why": TEXT}                                                               nobody can tell now
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict

from pillarbox.lib.clients.oauth import TokenAnswer
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError, serve_tagged
from pillarbox.lib.log import log
from pillarbox.oauth.introspection import Rules, Unusable, judge
from pillarbox.oauth.server import AuthorizationServer

REMEMBERED = 10_000
"""Tokens; beyond it the oldest is forgotten."""

REFUSED_LIFETIME = 5.0
"""Seconds for which a "no" is remembered: enough for a client that asks again at once, not for one with a new token."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750 section 2.1."""


class Introspector:
    """Answers for tokens, asking the server as little as can be.  `clock` in seconds since the epoch.

    Equal questions that are asked at the same time are one.
    """

    def __init__(
        self, server: AuthorizationServer | None, rules: Rules, lifetime: float, clock: Callable[[], float]
    ) -> None:
        self._server = server
        self._rules = rules
        self._lifetime = lifetime
        self._clock = clock
        self._known: dict[bytes, tuple[float, TokenAnswer]] = {}
        self._running: dict[bytes, asyncio.Task[TokenAnswer]] = {}

    async def serve(self, channel: AsyncChannel) -> None:
        """Serve one connection to its end."""
        await serve_tagged(channel, self.answer)

    async def answer(self, request: Attributes) -> dict[str, object]:
        """The reply to one request; raises ProtocolError for one that no program of ours would make."""
        if (verb := request.text("do")) != "introspect":
            raise ProtocolError(f'unknown request "{verb}"')
        token = request.text("token")
        if not _TOKEN.fullmatch(token):
            raise ProtocolError("no bearer token")
        try:
            return {"ok": True, **asdict(await self.introspect(token))}
        except Unusable as error:
            log.warning(str(error))
            return {"ok": False, "why": str(error)}

    async def introspect(self, token: str) -> TokenAnswer:
        """Whose the token is.  Raises Unusable."""
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        if known is not None:
            if known[0] > self._clock():
                return known[1]
            del self._known[key]
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(self._ask(key, token))
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    def _asked(self, key: bytes, task: asyncio.Task[TokenAnswer]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # those who wait are told; there may be nobody any more

    async def _ask(self, key: bytes, token: str) -> TokenAnswer:
        if self._server is None:
            raise Unusable("oauth_introspection_url is not set")
        status, body = await self._server.ask(token)
        now = self._clock()
        answer, until = judge(status, body, self._rules, now)
        lifetime = min(self._lifetime, REFUSED_LIFETIME) if answer.status else min(self._lifetime, until - now)
        if lifetime > 0:
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = now + lifetime, answer
        return answer
