"""What counts, when to look again, and what to answer meanwhile (RFC 8461 sections 3.3 and 5).

{"do": "policy", "domain": NAME, "wait": SECONDS}
{"ok": true, "id": TEXT, "text": TEXT}               the policy; both empty: the domain has none
{"ok": true, "failure": TEXT, "result": TYPE}        nobody can say now; TYPE is one of RFC 8460 section 4.3, or empty

A policy that counts is the answer at once; whether it is still the right one is looked up behind it.  Without one the
question waits for the look-up, as long as it may; the look-up goes on without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError, serve_tagged
from pillarbox.lib.log import log
from pillarbox.lib.smtp.sts_policy import StsPolicy
from pillarbox.mta_sts.cache import USED_WITHIN, Cache, Known
from pillarbox.mta_sts.source import Source, SourceFailed

CHECK_INTERVAL: Final = 3600.0
"""Seconds after which DNS is asked again whether a policy is still the one; section 5.1 lets the sender choose."""

RENEW_INTERVAL: Final = 900.0
"""Seconds between two attempts to renew a policy that is asked for by nobody."""

RETRY_AFTER: Final = 300.0
"""Seconds for which a policy that could not be fetched is not tried again (section 3.3: five minutes or longer)."""

DNS_RETRY_AFTER: Final = 60.0

ABSENT_AT_LEAST, ABSENT_AT_MOST = 60.0, 3600.0
"""Bounds of the seconds for which "has none" is remembered; between them the TTL counts."""

REMEMBERED: Final = 20_000
"""Domains without a policy, or with one that cannot be fetched, that are remembered."""

AT_ONCE: Final = 100
"""Fetches at once."""

PENDING_LIMIT: Final = 1000
"""Look-ups under way, those that wait for their turn to fetch included; beyond it nobody can say."""

RENEWALS: Final = 50
"""Policies renewed in one round."""

WAIT_LIMIT: Final = 300.0
DOMAIN_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say now."""

    why: str
    result: str = ""


Found: TypeAlias = StsPolicy | Unknown | None


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Until when an answer holds that is no policy; `id`: that of the policy that could not be fetched."""

    until: float
    found: Unknown | None
    id: str = ""


class Policies:
    """Answers about domains.  `clock` in seconds since the epoch."""

    def __init__(self, cache: Cache, source: Source, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._source = source
        self._clock = clock
        self._others: dict[str, _Remembered] = {}
        self._running: dict[str, tuple[float, asyncio.Task[Found]]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def serve(self, channel: AsyncChannel) -> None:
        """Serve one connection to its end."""
        await serve_tagged(channel, self.answer)

    async def answer(self, request: Attributes) -> dict[str, object]:
        """The reply to one request; raises ProtocolError for one that no program of ours would make."""
        if (verb := request.text("do")) != "policy":
            raise ProtocolError(f'unknown request "{verb}"')
        domain = request.text("domain")
        if not 0 < len(domain) <= DOMAIN_LIMIT or not domain.isascii():
            raise ProtocolError("no domain")
        found = await self.policy(domain.lower(), min(max(request.number("wait"), 0.0), WAIT_LIMIT))
        match found:
            case None:
                return {"ok": True, "id": "", "text": ""}
            case Unknown(why, result):
                return {"ok": True, "failure": why, "result": result}
            case _:
                return {"ok": True, "id": found.id, "text": found.text}

    async def policy(self, domain: str, wait: float) -> Found:
        """What holds for a domain, after `wait` seconds at most."""
        now = self._clock()
        known = self._cache.find(domain, now)
        if known is not None:
            self._cache.use(known, now)
            if now - known.checked >= CHECK_INTERVAL:
                self._begin(domain)
            return known.policy
        other = self._others.get(domain)
        if other is not None and now < other.until:
            return other.found
        begun = self._begin(domain)
        if begun is None:
            return Unknown("too many look-ups of MTA-STS policies are under way")
        since, task = begun
        left = since + wait - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait((task,), timeout=max(left, 0.0))
        return task.result() if done else Unknown(f"the MTA-STS policy of {domain} did not come within {wait:g}s")

    def renew(self) -> None:
        """Begin to renew policies before they end, whether or not anybody asks; drop those that have ended."""
        now = self._clock()
        self._cache.sweep(now)
        for domain in self._cache.due(now, now - USED_WITHIN, now - RENEW_INTERVAL, RENEWALS):
            self._begin(domain)

    # --- looking up

    def _begin(self, domain: str) -> tuple[float, asyncio.Task[Found]] | None:
        if domain in self._running:
            return self._running[domain]
        if len(self._running) >= PENDING_LIMIT:
            log.warning("too many look-ups of MTA-STS policies are under way")
            return None
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._look_up(domain))
        self._running[domain] = begun = (loop.time(), task)
        task.add_done_callback(lambda _: self._running.pop(domain, None))
        return begun

    async def _look_up(self, domain: str) -> Found:
        known = self._cache.find(domain, self._clock())
        try:
            return await self._find_out(domain, known)
        except SourceFailed as failed:
            # What is known counts to its end, whatever becomes of DNS and web server.
            if known is not None:
                log.warning(f"{failed.text}; the MTA-STS policy of {domain} from before stays")
                self._cache.checked(domain, self._clock() - CHECK_INTERVAL + RETRY_AFTER)
                return known.policy
            log.warning(f"{domain}: {failed.text}; mail goes out without its MTA-STS policy")
            return Unknown(failed.text, failed.result)
        except Exception as error:
            log.panic(f"MTA-STS policy of {domain}: {type(error).__name__}: {error}")
            return known.policy if known is not None else Unknown("internal error")

    async def _find_out(self, domain: str, known: Known | None) -> Found:
        try:
            announced = await self._source.announced(domain)
        except SourceFailed as failed:
            self._remember(domain, DNS_RETRY_AFTER, Unknown(failed.text, failed.result))
            raise
        identity = announced.id
        if identity is None:
            if known is None:
                self._remember(domain, min(max(announced.ttl, ABSENT_AT_LEAST), ABSENT_AT_MOST), None)
                return None
            self._cache.checked(domain, self._clock())
            return known.policy
        if known is not None and known.policy.id == identity and not known.ageing(self._clock()):
            self._cache.checked(domain, self._clock())
            return known.policy
        other = self._others.get(domain)
        if other is not None and other.id == identity and other.found is not None and self._clock() < other.until:
            raise SourceFailed(other.found.why, other.found.result)
        try:
            async with self._slots:
                policy = await self._source.fetch(domain, identity)
        except SourceFailed as failed:
            self._remember(domain, RETRY_AFTER, Unknown(failed.text, failed.result), identity)
            raise
        if known is None or known.policy.id != identity:
            log.info(f"MTA-STS policy of {domain}: id={identity} mode={policy.mode} max_age={policy.max_age}")
        self._others.pop(domain, None)
        self._cache.keep(policy, self._clock())
        return policy

    def _remember(self, domain: str, seconds: float, found: Unknown | None, identity: str = "") -> None:
        self._others.pop(domain, None)
        if len(self._others) >= REMEMBERED:
            del self._others[next(iter(self._others))]
        self._others[domain] = _Remembered(self._clock() + seconds, found, identity)
