"""The client of `verify`: can mail be delivered to this address?

verified = await client.verify("user@example.com")       # Verified(DELIVERABLE, "...")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.verify import ADDRESS_VERIFY_POLL_COUNT, ADDRESS_VERIFY_POLL_DELAY
from pillarbox.lib.ipc import ProtocolError

SERVICE: Final = "verify"

DELIVERABLE: Final = "deliverable"
UNDELIVERABLE: Final = "undeliverable"
UNKNOWN: Final = "unknown"
"""A probe is under way, or has failed for now."""

MARGIN: Final = 5.0
"""Seconds beyond the wait that was asked for, after which the service counts as dead."""

RETRY_AFTER: Final = 2.0
"""Seconds for which a service that could not be reached is not asked."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What is known of an address; `text` is why."""

    status: str
    text: str


class AsyncVerifyClient:
    """For asyncio programs; any number of questions at once."""

    def __init__(self, config: Config) -> None:
        self._wait = (config[ADDRESS_VERIFY_POLL_COUNT] - 1) * config[ADDRESS_VERIFY_POLL_DELAY]
        self._client = TaggedClient(config.socket_path(SERVICE), "verify", self._wait + MARGIN, RETRY_AFTER)

    async def verify(self, address: str) -> Verified:
        """What is known, after a probe if need be.  Raises ServiceUnavailable."""
        reply = await self._client.ask({"do": "verify", "address": address, "wait": self._wait})
        try:
            status, text = reply.text("status"), reply.text("text")
        except ProtocolError as error:
            raise ServiceUnavailable(f"verify: {error}") from None
        if status not in (DELIVERABLE, UNDELIVERABLE, UNKNOWN):
            raise ServiceUnavailable(f'verify: "{status}" is no status')
        return Verified(status, text)

    def close(self) -> None:
        """End the connection."""
        self._client.close()
