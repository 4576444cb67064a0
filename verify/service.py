"""When to probe, and what to answer meanwhile (ADDRESS_VERIFICATION_README of Postfix).

A result that is fresh is the answer.  One that is older is the answer too, but a probe renews it.  Without one the
client waits for the probe, as long as it asked to; then it is told that nothing is known yet, and the probe goes on.
What fails for now replaces no result and is not remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, UNKNOWN, Verified
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import verify as parameters
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.verify.cache import Cache, Entry

IN_PROGRESS: Final = "Address verification in progress"
TOO_MANY: Final = "Too many address verifications in progress"

ADDRESS_LIMIT: Final = 1024
TEXT_LIMIT: Final = 1000
WAIT_LIMIT: Final = 300.0

REPROBE: Final = 1000.0
"""Seconds in which an address is not probed twice to renew a result."""


@dataclass(frozen=True, slots=True)
class Times:
    """Ages in seconds: from which a result is renewed, at which it counts no more."""

    positive_refresh: float
    positive_expire: float
    negative_refresh: float
    negative_expire: float
    negative_cache: bool = True
    pending_limit: int = 5000


def configured_times(config: Config) -> Times:
    """As the parameters say."""
    return Times(
        config[parameters.ADDRESS_VERIFY_POSITIVE_REFRESH_TIME],
        config[parameters.ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME],
        config[parameters.ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME],
        config[parameters.ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME],
        config[parameters.ADDRESS_VERIFY_NEGATIVE_CACHE],
        config[parameters.ADDRESS_VERIFY_PENDING_REQUEST_LIMIT],
    )


class Verifier:
    """Answers about addresses."""

    def __init__(
        self,
        cache: Cache,
        probe: Callable[[str], Awaitable[Verified]],
        times: Times,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._probe = probe
        self._times = times
        self._clock = clock
        self._running: dict[str, asyncio.Task[Verified]] = {}
        self._renewed: dict[str, float] = {}

    async def verify(self, address: str, wait: float) -> Verified:
        """What is known of an address, waiting at most `wait` seconds for a probe."""
        key = _key(address)
        entry = self._cache.find(key)
        if entry is not None:
            age = self._clock() - entry.updated
            times = self._times
            refresh, expire = (
                (times.positive_refresh, times.positive_expire)
                if entry.deliverable
                else (times.negative_refresh, times.negative_expire)
            )
            if age < expire:
                if age >= refresh:
                    self._renew(key)
                return Verified(DELIVERABLE if entry.deliverable else UNDELIVERABLE, entry.text)
        task = self._running.get(key) or self._begin(key)
        if task is None:
            return Verified(UNKNOWN, TOO_MANY)
        done, _ = await asyncio.wait((task,), timeout=wait)
        return task.result() if done else Verified(UNKNOWN, IN_PROGRESS)

    def _renew(self, key: str) -> None:
        now = self._clock()
        if key in self._running or now - self._renewed.get(key, -REPROBE) < REPROBE:
            return
        if len(self._renewed) > self._times.pending_limit:
            self._renewed.clear()
        self._renewed[key] = now
        self._begin(key)

    def _begin(self, key: str) -> asyncio.Task[Verified] | None:
        if len(self._running) >= self._times.pending_limit:
            log.warning("address_verify_pending_request_limit is reached")
            return None
        task = asyncio.get_running_loop().create_task(self._find_out(key))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def _find_out(self, key: str) -> Verified:
        try:
            verified = await self._probe(key)
        except Exception as error:
            log.panic(f"probe for {key}: {type(error).__name__}: {error}")
            return Verified(UNKNOWN, "4.3.0 internal error")
        verified = Verified(verified.status, verified.text[:TEXT_LIMIT])
        if verified.status == DELIVERABLE or (verified.status == UNDELIVERABLE and self._times.negative_cache):
            entry = Entry(verified.status == DELIVERABLE, int(self._clock()), verified.text)
            self._cache.keep(key, entry)
        elif verified.status == UNDELIVERABLE:
            self._cache.forget(key)  # it was deliverable, and is not any more
        return verified

    def sweep(self) -> None:
        """Drop what has expired."""
        now = int(self._clock())
        self._cache.sweep(now - int(self._times.positive_expire), now - int(self._times.negative_expire))


def _key(address: str) -> str:
    """Under what an address is kept: the domain without case, the local part as it is."""
    local, domain = split_address(address)
    return f"{local}@{normalize_domain(domain)}" if domain else address


async def serve(verifier: Verifier, channel: AsyncChannel) -> None:
    """Answer the requests of one connection until it ends.  Raises ChannelClosed, ProtocolError."""
    sending = asyncio.Lock()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(request: Attributes, tag: int) -> None:
        wait = min(max(request.number("wait"), 0.0), WAIT_LIMIT)
        verified = await verifier.verify(request.text("address"), wait)
        try:
            async with sending:
                await channel.send({"ok": True, "tag": tag, "status": verified.status, "text": verified.text})
        except ChannelClosed:
            pass

    try:
        while True:
            request = await channel.receive()
            if request.text("do") != "verify" or not 0 < len(request.text("address")) <= ADDRESS_LIMIT:
                raise ProtocolError("a question about an address was expected")
            request.number("wait")
            task = asyncio.get_running_loop().create_task(answer(request, request.integer("tag", 0)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
