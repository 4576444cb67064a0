"""The client of the service tlsrpt: tells it how negotiations of TLS with other servers ended (RFC 8460).

    client.record(TlsOutcome("example.org", "sts", policy.lines, policy.mx, receiving_mx="mx.example.org"))

`record` neither waits nor fails: outcomes are counted here for a moment and sent together; what cannot be sent is
dropped.  Only to be called where `smtp_tlsrpt_enable` is yes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config

SERVICE: Final = "tlsrpt"

PolicyType: TypeAlias = Literal["tlsa", "sts", "no-policy-found"]

RESULTS: Final = frozenset(
    {
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "tlsa-invalid",
        "dnssec-invalid",
        "dane-required",
        "sts-policy-fetch-error",
        "sts-policy-invalid",
        "sts-webpki-invalid",
    }
)
"""The result types of section 4.3; what fits none of them is a `validation-failure`."""

WAITING_LIMIT: Final = 1000
"""Different outcomes that wait to be sent at most; further ones are dropped."""

PAUSE: Final = 1.0
"""Seconds for which outcomes are gathered."""

PER_FRAME: Final = 50

ANSWER_TIMEOUT: Final = 5.0
RETRY_AFTER: Final = 10.0

TEXT_LIMIT: Final = 1000
"""Characters of `details` and `reason_code`."""


@dataclass(frozen=True, slots=True)
class TlsOutcome:
    """How one negotiation ended; a session in which TLS came about has no `failure` (section 4.4 has the members).

    `policy_domain`: the domain whose policy was applied, in A-labels; `policy_string`: its TLSA records or the lines of
    its MTA-STS policy; `mx_host`: the patterns of that policy; `details` and `reason_code`: for people.
    """

    policy_domain: str
    policy_type: PolicyType
    policy_string: tuple[str, ...] = ()
    mx_host: tuple[str, ...] = ()
    failure: str = ""
    sending_mta_ip: str = ""
    receiving_mx: str = ""
    receiving_ip: str = ""
    details: str = ""
    reason_code: str = ""

    def members(self, count: int) -> dict[str, object]:
        """As it goes to the service."""
        detail = [
            self.failure,
            self.sending_mta_ip,
            self.receiving_mx,
            self.receiving_ip,
            self.details[:TEXT_LIMIT],
            self.reason_code[:TEXT_LIMIT],
        ]
        return {
            "domain": self.policy_domain,
            "type": self.policy_type,
            "string": list(self.policy_string),
            "mx": list(self.mx_host),
            "detail": detail if self.failure else [],
            "count": count,
        }


class AsyncTlsReportClient:
    """For event programs."""

    def __init__(self, config: Config, *, pause: float = PAUSE) -> None:
        self.service = TaggedClient(config.socket_path(SERVICE), SERVICE, ANSWER_TIMEOUT, RETRY_AFTER)
        self._pause = pause
        self._counts: dict[TlsOutcome, int] = {}
        self._sender: asyncio.Task[None] | None = None
        self.dropped = 0
        """Outcomes that were not sent."""

    def record(self, outcome: TlsOutcome) -> None:
        """Count an outcome."""
        if outcome not in self._counts and len(self._counts) >= WAITING_LIMIT:
            self.dropped += 1
            return
        self._counts[outcome] = self._counts.get(outcome, 0) + 1
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(self._pause)
        while self._counts:
            counts, self._counts = self._counts, {}
            items = list(counts.items())
            for start in range(0, len(items), PER_FRAME):
                part = items[start : start + PER_FRAME]
                try:
                    await self.service.tell({"do": "record", "outcomes": [o.members(n) for o, n in part]})
                except ServiceUnavailable:
                    self.dropped += sum(count for _, count in items[start:])
                    break

    def close(self) -> None:
        """End the connection; what has not been sent is lost."""
        if self._sender is not None:
            self._sender.cancel()
        self.service.close()
