"""Asks the authorization server over TCP: one request, one response, all within the time limit."""

from __future__ import annotations

import asyncio

from pillarbox.lib.config.oauth import Endpoint
from pillarbox.lib.dns import Resolver
from pillarbox.lib.http import HttpFailed, HttpPlace, exchange
from pillarbox.oauth.introspection import Unusable
from pillarbox.oauth.question import question

AT_ONCE = 20
"""Connections to the server; further questions wait for their turn, as long as their time allows."""


class AuthorizationServer:
    """One endpoint.  `timeout` in seconds, for all of a question."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver, timeout: float) -> None:
        self._endpoint = endpoint
        self._place = HttpPlace(endpoint.host, endpoint.port, endpoint.target, endpoint.authority, endpoint.tls)
        self._resolver = resolver
        self._timeout = timeout
        self._room = asyncio.Semaphore(AT_ONCE)

    async def ask(self, token: str) -> tuple[int, bytes]:
        """Status and body of the answer.  Raises Unusable where there is none."""
        request = question(self._endpoint, self._place, token)
        try:
            async with asyncio.timeout(self._timeout), self._room:
                response = await exchange(self._place, request, self._resolver, timeout=self._timeout)
        except TimeoutError:
            text = f"{self._place.authority} did not answer in {self._timeout:g}s"
            raise Unusable(f"the authorization server {text}") from None
        except HttpFailed as failed:
            raise Unusable(f"the authorization server {failed.text}") from None
        return response.status, response.body
