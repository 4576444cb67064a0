"""The client of the service mta_sts: which policy has a domain published for mail to it (RFC 8461)?

    policy = await client.policy("example.org")       # StsPolicy, or None: it has none

Raises PolicyUnavailable (a ServiceUnavailable) where nobody can say now: the service is away, the domain's policy
cannot be fetched or makes no sense, or the first fetch takes longer than `smtp_mta_sts_timeout`.  Delivery then goes
on as if there were no policy (section 5); `result` says what to report to the domain (RFC 8460 section 4.3); "":
nothing.

Answers are remembered for a moment, so that a busy destination costs no round trip per message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.mta_sts import SMTP_MTA_STS_TIMEOUT
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.smtp.sts_policy import BadPolicy, StsPolicy, parse_policy

SERVICE: Final = "mta_sts"

GRACE: Final = 2.0
"""Seconds beyond the service's own time limit."""

RETRY_AFTER: Final = 5.0
"""Seconds for which a service that could not be reached is not tried again."""

REMEMBERED: Final = 1000
"""Domains; beyond it the one that has been known for longest is forgotten."""

REMEMBERED_FOR: Final = 30.0
"""Seconds, for policies and for "none": short, the service knows when to look again."""


class PolicyUnavailable(ServiceUnavailable):
    """See the module; `result` is a result type such as `sts-policy-fetch-error`, or ""."""

    def __init__(self, reason: str, result: str = "") -> None:
        super().__init__(reason)
        self.result = result


class AsyncMtaStsClient:
    """For event programs; any number of calls may run at once."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        """`clock` in seconds since the epoch."""
        self._clock = clock
        self._wait = config[SMTP_MTA_STS_TIMEOUT]
        self.service = TaggedClient(config.socket_path(SERVICE), SERVICE, self._wait + GRACE, RETRY_AFTER)
        self._known: dict[str, tuple[float, StsPolicy | None]] = {}

    async def policy(self, domain: str) -> StsPolicy | None:
        """The policy of a domain (the next hop, before any MX look-up).  Raises PolicyUnavailable."""
        now = self._clock()
        known = self._known.get(domain)  # most are written as they are kept
        if known is not None and 0 <= now - known[0] < REMEMBERED_FOR:
            return known[1]
        name = normalize_domain(domain)
        if not name or not name.isascii() or name[0] == "[" or "." not in name:
            return None
        known = self._known.get(name)
        if known is not None and 0 <= now - known[0] < REMEMBERED_FOR:
            return known[1]
        policy = await self._ask(name)
        self._known.pop(name, None)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = now, policy
        return policy

    async def _ask(self, domain: str) -> StsPolicy | None:
        try:
            reply = await self.service.ask({"do": "policy", "domain": domain, "wait": self._wait})
            if why := reply.text("failure", ""):
                raise PolicyUnavailable(why, reply.text("result", ""))
            text = reply.text("text", "")
            return parse_policy(domain, reply.text("id"), text) if text else None
        except PolicyUnavailable:
            raise
        except (ServiceUnavailable, ProtocolError, BadPolicy) as error:
            raise PolicyUnavailable(f"{SERVICE}: {error}") from None

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        self.service.close()
