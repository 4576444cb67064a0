"""The client of `quota`: is there room for a message in a hosted mailbox?

full = await client.room("user@example.com", 5000)       # Full("the quota of ...", temporary=False), or None
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import ProtocolError

SERVICE: Final = "quota"

ANSWER_TIMEOUT: Final = 20.0
"""Seconds to wait; a mailbox of very many messages may have to be counted.  Then delivery decides."""

RETRY_AFTER: Final = 2.0
"""Seconds for which a service that could not be reached is not asked."""

ADDRESS_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room; `text` is why, `temporary` whether the sender shall try again."""

    text: str
    temporary: bool


class AsyncQuotaClient:
    """For asyncio programs; any number of questions at once."""

    def __init__(self, config: Config) -> None:
        self._client = TaggedClient(config.socket_path(SERVICE), SERVICE, ANSWER_TIMEOUT, RETRY_AFTER)

    async def room(self, address: str, size: int) -> Full | None:
        """None where a message of `size` octets fits.  Raises ServiceUnavailable where that is not known."""
        reply = await self._client.ask({"do": "room", "address": address, "size": max(1, size)})
        try:
            text = reply.text("full")
            return Full(text, reply.boolean("temporary")) if text else None
        except ProtocolError as error:
            raise ServiceUnavailable(f"quota: {error}") from None

    def close(self) -> None:
        """End the connection."""
        self._client.close()
