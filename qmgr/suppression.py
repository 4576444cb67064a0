"""The suppression list as the queue manager uses it: who is not tried, and what is learnt from refusals.

What `suppression_maps` say comes with the routes from `lookup`; here it is the list that `reputation` keeps.  Where
that cannot be asked, mail is delivered as if the list were empty: a suppressed address that gets a message is less
harm than mail that waits for a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.clients.suppression import AsyncSuppressionClient, exempt, refusal
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.bounce import DOUBLE_BOUNCE_SENDER
from pillarbox.lib.config.parameters.delivery import (
    SUPPRESSION_BOUNCE_LIMIT,
    SUPPRESSION_ENABLE,
    SUPPRESSION_LIFETIME,
)
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.delivery.result import BOUNCED, Result
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient

HARD = ("5.1.1", "5.1.6", "5.1.10", "5.2.1")
"""Enhanced status codes (RFC 3463 section 3.2, RFC 7505) that say that there is no such mailbox, or not any more."""

_ANSWER = "(in reply to RCPT TO command)"
"""How the text of a result ends where the remote server refused this very recipient."""

Routed = tuple[StoredRecipient, Route]


class Suppression:
    """The list; `enabled` says whether there is anything to ask."""

    def __init__(self, config: Config, client: AsyncSuppressionClient) -> None:
        self.enabled = config[SUPPRESSION_ENABLE]
        self._client = client
        self._limit = config[SUPPRESSION_BOUNCE_LIMIT] if self.enabled else 0
        self._lifetime = int(config[SUPPRESSION_LIFETIME])
        self._hostname = config[MYHOSTNAME]
        self._double_bounce = config[DOUBLE_BOUNCE_SENDER]

    async def sift(self, routes: Sequence[Routed]) -> list[Routed]:
        """The same recipients; those on the list are routed to the transport `error`."""
        asked = [stored.recipient.address for stored, _ in routes]
        try:
            found = await self._client.suppressed(
                [address for address in asked if not exempt(address, self._double_bounce)]
            )
        except (ServiceUnavailable, ProtocolError) as error:
            log.warning(f"the suppression list is not known now, mail is delivered without it: {error}")
            return list(routes)
        if not found:
            return list(routes)
        sifted: list[Routed] = []
        for stored, route in routes:
            reason = found.get(stored.recipient.address)
            if reason is not None:
                text = refusal(reason.text, self._hostname, learnt=not reason.manual)
                route = replace(route, transport="error", nexthop=text)
            sifted.append((stored, route))
        return sifted

    def learn(self, stored: StoredRecipient, result: Result) -> None:
        """A recipient has failed: remember it where its own server has said that it does not exist."""
        if self._limit and hard(result):
            self._client.refused(stored.recipient.address, said(result), self._limit, self._lifetime)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def hard(result: Result) -> bool:
    """Whether the recipient's own server has refused it for good, as one that does not exist."""
    return (
        result.status == BOUNCED
        and result.dsn in HARD
        and bool(result.remote_mta)
        and result.diagnostic.startswith("smtp; 5")
        and result.text.endswith(_ANSWER)
    )


def said(result: Result) -> str:
    """The server's words."""
    return " ".join(result.diagnostic.removeprefix("smtp; ").split())
