"""The client of the service tlsrpt: tells it how negotiations of TLS with other servers ended (RFC 8460).

    client.record(TlsOutcome("example.org", "sts", policy.lines, policy.mx, receiving_mx="mx.example.org"))

`record` neither waits nor fails: outcomes are counted here for a moment and sent together; what cannot be sent is
dropped.  Only to be called where `smtp_tlsrpt_enable` is yes.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes, ProtocolError

SERVICE: Final = "tlsrpt"

PolicyType: TypeAlias = Literal["tlsa", "sts", "no-policy-found"]
POLICY_TYPES: Final = ("tlsa", "sts", "no-policy-found")

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

PER_FRAME: Final = 8
"""So many always fit into a frame, whatever has to be escaped in them."""

ANSWER_TIMEOUT: Final = 5.0
RETRY_AFTER: Final = 10.0

DOMAIN_LIMIT: Final = 255

TEXT_LIMIT: Final = 500
"""Characters of `details` and `reason_code`."""

POLICY_LIMIT: Final = 2000
"""Characters of `policy_string` and of `mx_host` that are reported, in whole members; few policies have so many."""


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

    @property
    def detail(self) -> tuple[str, str, str, str, str, str]:
        """What tells failures under one policy apart."""
        details, reason = self.details[:TEXT_LIMIT], self.reason_code[:TEXT_LIMIT]
        return self.failure, self.sending_mta_ip, self.receiving_mx, self.receiving_ip, details, reason

    def members(self, count: int) -> dict[str, object]:
        """As it goes to the service."""
        return {
            "domain": self.policy_domain,
            "type": self.policy_type,
            "string": _bounded(self.policy_string),
            "mx": _bounded(self.mx_host),
            "detail": list(self.detail) if self.failure else [],
            "count": count,
        }

    @classmethod
    def parse(cls, frame: Attributes) -> tuple[TlsOutcome, int]:
        """An outcome and how often it came about.  Raises ProtocolError."""
        kind, detail, count = frame.text("type"), frame.texts("detail"), frame.integer("count")
        if kind not in POLICY_TYPES or len(detail) not in (0, 6) or count < 1:
            raise ProtocolError("no outcome of TLS")
        if detail and detail[0] not in RESULTS:
            raise ProtocolError(f"unknown result type {detail[0]}")
        domain = frame.text("domain")
        if not 0 < len(domain) <= DOMAIN_LIMIT or not domain.isascii():
            raise ProtocolError("no policy domain")
        policy = cast(PolicyType, kind)
        return cls(domain.lower(), policy, frame.texts("string"), frame.texts("mx"), *detail), count


def _bounded(texts: tuple[str, ...]) -> list[str]:
    sizes = itertools.accumulate(len(text) for text in texts)
    return [text for text, size in zip(texts, sizes, strict=True) if size <= POLICY_LIMIT]


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
                except (ServiceUnavailable, ProtocolError):
                    self.dropped += sum(count for _, count in items[start:])
                    break

    def close(self) -> None:
        """End the connection; what has not been sent is lost."""
        if self._sender is not None:
            self._sender.cancel()
        self.service.close()
