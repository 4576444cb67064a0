"""Asks the authorization server over TCP: connect, TLS, one request, one response, all within the time limit."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl

from pillarbox.lib.config.oauth import Endpoint
from pillarbox.lib.dns import Answer, Resolver
from pillarbox.oauth.http import BadResponse, ResponseReader
from pillarbox.oauth.introspection import Unusable
from pillarbox.oauth.question import question

READ_SIZE = 16 * 1024

AT_ONCE = 20
"""Connections to the server; further questions wait for their turn, as long as their time allows."""


class AuthorizationServer:
    """One endpoint.  `timeout` in seconds, for all of a question."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver, timeout: float) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._timeout = timeout
        self._room = asyncio.Semaphore(AT_ONCE)

    async def ask(self, token: str) -> tuple[int, bytes]:
        """Status and body of the answer.  Raises Unusable where there is none."""
        endpoint = self._endpoint
        place = f"the authorization server {endpoint.authority}"
        try:
            async with asyncio.timeout(self._timeout), self._room:
                return await self._exchange(question(endpoint, token))
        except TimeoutError:
            raise Unusable(f"{place} did not answer in {self._timeout:g}s") from None
        except ssl.SSLError as error:
            raise Unusable(f"{place}: TLS: {getattr(error, 'verify_message', '') or error.reason or error}") from None
        except OSError as error:
            raise Unusable(f"{place}: {error.strerror or error}") from None
        except BadResponse as error:
            raise Unusable(f"{place} does not speak HTTP as it should: {error}") from None

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connect()
        try:
            writer.write(request)
            response = ResponseReader()
            while not response.done:
                data = await reader.read(READ_SIZE)
                if data:
                    response.feed(data)
                else:
                    response.end()
            return response.status, response.body
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        endpoint = self._endpoint
        problem: OSError | None = None
        name = endpoint.host if endpoint.tls is not None else None
        for address in await self._addresses():
            try:
                return await asyncio.open_connection(
                    address, endpoint.port, ssl=endpoint.tls, server_hostname=name, limit=READ_SIZE
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                problem = error
        raise problem or OSError(f"{endpoint.host} has no address")

    async def _addresses(self) -> tuple[str, ...]:
        host = self._endpoint.host
        with contextlib.suppress(ValueError):
            return (str(ipaddress.ip_address(host)),)
        if known := self._resolver.hosts.addresses(host):
            return tuple(known)
        outcome = await self._resolver.addresses(host)
        if not isinstance(outcome, Answer):
            raise OSError(f"the address of {host} cannot be found")
        return tuple(outcome.records)
