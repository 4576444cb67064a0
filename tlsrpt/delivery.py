"""Handing a report in: as a mail through cleanup, or by HTTPS (RFC 8460 sections 5.3 and 5.4)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pillarbox.lib.clients.cleanup import AsyncCleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.dns import Resolver
from pillarbox.lib.http import HttpFailed, HttpPlace, compose_request, exchange
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.tlsrpt.message import compose_message
from pillarbox.tlsrpt.report import Report

POST_TIMEOUT: Final = 60.0

ORIGIN: Final = "tlsrpt"


class Later(Exception):
    """It is certain that nothing arrived, and worth another attempt; the text is why."""


class Refused(Exception):
    """There is no use in another attempt, or nobody knows whether it arrived; the text is why."""


class Delivery(Protocol):
    """Both return what was said, for the log, and raise Later, Refused."""

    async def mail(self, report: Report, recipients: Sequence[str]) -> str:
        """Send a report to addresses."""

    async def post(self, report: Report, url: str) -> str:
        """Send a report to an HTTPS URL."""


class Outside:
    """The real ways.  `ports` are those that the process may connect to."""

    def __init__(
        self,
        cleanup: AsyncCleanupClient,
        resolver: Resolver,
        tls: ssl.SSLContext,
        *,
        sender: str,
        host: str,
        ports: Sequence[int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cleanup = cleanup
        self._resolver = resolver
        self._tls = tls
        self._sender = sender
        self._host = host
        self._ports = frozenset(ports)
        self._clock = clock

    async def mail(self, report: Report, recipients: Sequence[str]) -> str:
        """As `Delivery` says.  A report that cannot be delivered comes back to nobody."""
        now = self._clock()
        try:
            message = await self._cleanup.open()
        except ServiceUnavailable as error:
            raise Later(error.reason) from None
        addressed = tuple(Recipient(address, notify=("never",)) for address in recipients)
        message.begin(Envelope(self._sender, addressed, now, origin=ORIGIN))
        identity = make_message_id(message.queue_id, self._host, now)
        content = received_by(host=self._host, queue_id=message.queue_id, when=now)
        content += compose_message(report, self._sender, recipients, identity, now)
        try:
            await message.write(content)
            receipt = await message.commit()
        except Rejected as error:
            raise (Later if error.code < 500 else Refused)(str(error)) from None
        except ServiceUnavailable as error:
            raise Refused(f"nobody knows whether it is in the queue: {error.reason}") from None
        return f"queued as {receipt.queue_id}"

    async def post(self, report: Report, url: str) -> str:
        """As `Delivery` says."""
        place = HttpPlace.of(url, self._tls)
        if place.port not in self._ports:
            raise Refused(f"port {place.port} is not among tlsrpt_https_ports")
        fields = {"Content-Type": "application/tlsrpt+gzip", "User-Agent": "pillarbox"}
        request = compose_request("POST", place, fields, report.compressed())
        try:
            response = await exchange(place, request, self._resolver, timeout=POST_TIMEOUT)
        except HttpFailed as failed:
            # What broke off may have arrived; by the report's id it is known when it comes again.
            raise Later(failed.text) from None
        if 200 <= response.status < 300:
            return f"HTTP status {response.status}"
        raise (Later if response.status >= 500 else Refused)(f"HTTP status {response.status}")
