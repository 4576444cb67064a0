"""One request and its response over TCP: look-up, connect, TLS, all within one time limit.

No redirects, no second request on a connection.  What goes wrong is an `HttpFailed` that says where.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.lib.dns import Answer, Resolver
from pillarbox.lib.http.place import HttpPlace
from pillarbox.lib.http.response import BODY_LIMIT, BadResponse, ResponseReader

READ_SIZE: Final = 16 * 1024

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for one address, so that a dead one leaves time for the next."""

ADDRESS_LIMIT: Final = 4
"""Addresses of a host that are tried."""


class HttpFailed(Exception):
    """`text` is for the log.  `where`: the host has no address or cannot be reached; TLS did not prove who it is; it
    broke off or spoke no HTTP; the time is over."""

    def __init__(self, where: Literal["connect", "tls", "http", "time"], text: str) -> None:
        super().__init__(text)
        self.where = where
        self.text = text


@dataclass(frozen=True, slots=True)
class Response:
    """`fields` by lower-case name."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The type and subtype of the body, lower case, without parameters; "" where none is named."""
        return self.fields.get("content-type", "").partition(";")[0].strip().lower()


async def exchange(
    place: HttpPlace, request: bytes, resolver: Resolver, *, timeout: float, limit: int = BODY_LIMIT
) -> Response:
    """The response to a request; `timeout` in seconds, `limit` in octets of the body.  Raises HttpFailed."""
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(place, request, resolver, limit)
    except TimeoutError:
        raise HttpFailed("time", f"{place.authority} did not answer in {timeout:g}s") from None
    except BadResponse as error:
        raise HttpFailed("http", f"{place.authority} does not speak HTTP as it should: {error}") from None
    except ssl.SSLError as error:
        raise HttpFailed("tls", f"{place.authority}: TLS: {_tls_reason(error)}") from None
    except OSError as error:
        raise HttpFailed("http", f"{place.authority}: {error.strerror or error}") from None


async def _exchange(place: HttpPlace, request: bytes, resolver: Resolver, limit: int) -> Response:
    reader, writer = await _connect(place, resolver)
    try:
        writer.write(request)
        response = ResponseReader(limit)
        while not response.done:
            data = await reader.read(READ_SIZE)
            if data:
                response.feed(data)
            else:
                response.end()
        return Response(response.status, response.fields, response.body)
    finally:
        writer.transport.abort()


async def _connect(place: HttpPlace, resolver: Resolver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    problem = "has no address"
    name = place.host if place.tls is not None else None
    for address in (await _addresses(place.host, resolver))[:ADDRESS_LIMIT]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await asyncio.open_connection(
                    address, place.port, ssl=place.tls, server_hostname=name, limit=READ_SIZE
                )
        except ssl.SSLError:
            raise
        except TimeoutError:
            problem = f"no connection within {CONNECT_TIMEOUT:g}s"
        except OSError as error:
            problem = error.strerror or str(error)
    raise HttpFailed("connect", f"{place.authority}: {problem}")


async def _addresses(host: str, resolver: Resolver) -> tuple[str, ...]:
    with contextlib.suppress(ValueError):
        return (str(ipaddress.ip_address(host)),)
    if known := resolver.hosts.addresses(host):
        return tuple(known)
    outcome = await resolver.addresses(host)
    if not isinstance(outcome, Answer):
        raise HttpFailed("connect", f"the address of {host} cannot be found")
    return tuple(outcome.records)


def _tls_reason(error: ssl.SSLError) -> str:
    return str(getattr(error, "verify_message", "") or error.reason or error)
