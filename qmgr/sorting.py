"""From recipients to entries: where does each go, and which go together.

`lookup` says transport and next hop of each recipient; what is known already costs no waiting.  Built-in transports
(error, retry, discard) give their result on the spot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupUnavailable, Route
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result, softened
from pillarbox.lib.ipc import ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient
from pillarbox.qmgr.batches import batches
from pillarbox.qmgr.filter import filter_route
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.transport import Transport

QUESTIONS_AT_ONCE = 20
"""Recipients that `lookup` is asked about at the same time."""

BUILT_IN = ("error", "retry", "discard")
"""Transports that need no agent: the next hop is the reason."""

PUT_OFF = "deferred transport"


class Settled(Protocol):
    """Who records what needs no agent (`settling.py`)."""

    def decided(self, message: ActiveMessage, pairs: Sequence[tuple[StoredRecipient, Result]]) -> None:
        """Results that no agent has given."""

    def left_alone(self, message: ActiveMessage, count: int) -> None:
        """So many recipients are not due in this pass."""


class Sorting:
    """Takes recipients in, hands entries to their transports and results that need no agent to `settling`; then says
    that the message is `ready` for more."""

    def __init__(
        self,
        lookup: AsyncLookupClient,
        transport: Callable[[str], Transport],
        settling: Settled,
        policy: DeliveryPolicy,
        spawn: Callable[[Coroutine[None, None, None]], None],
        ready: Callable[[ActiveMessage], None],
        *,
        soft_bounce: bool = False,
        put_off: tuple[str, ...] = (),
    ) -> None:
        """With `soft_bounce` the transport `error` defers; `put_off` are transports whose mail waits for a flush."""
        self._lookup = lookup
        self._transport = transport
        self._settling = settling
        self._decided = settling.decided
        self._policy = policy
        self._spawn = spawn
        self._ready = ready
        self._soft_bounce = soft_bounce
        self._put_off = frozenset(put_off)

    def take(self, message: ActiveMessage, recipients: list[StoredRecipient]) -> None:
        """Bring the recipients of a message on their way."""
        sender = message.envelope.sender
        if message.envelope.filter:
            self._divide(message, [(stored, filter_route(message.envelope.filter, stored)) for stored in recipients])
            return
        known: list[tuple[StoredRecipient, Route]] = []
        unknown: list[StoredRecipient] = []
        for stored in recipients:
            route = self._lookup.known_route(stored.recipient.address, sender)
            if route is None:
                unknown.append(stored)
            else:
                known.append((stored, route))
        if unknown or self._policy.suppression.enabled:
            self._spawn(self._resolve(message, known, unknown))
        else:
            self._divide(message, known)

    async def _resolve(
        self, message: ActiveMessage, known: list[tuple[StoredRecipient, Route]], unknown: list[StoredRecipient]
    ) -> None:
        for start in range(0, len(unknown), QUESTIONS_AT_ONCE):
            asked = unknown[start : start + QUESTIONS_AT_ONCE]
            if len(asked) == 1:  # most messages have one recipient: no further task for it
                answers = [await self._ask(message, asked[0])]
            else:
                answers = await asyncio.gather(*(self._ask(message, stored) for stored in asked))
            known += [(stored, route) for stored, route in zip(asked, answers, strict=True) if route is not None]
            lost = [stored for stored, route in zip(asked, answers, strict=True) if route is None]
            if lost:
                lost += unknown[start + QUESTIONS_AT_ONCE :]
                reason = "address resolver failure"
                self._decided(message, [(stored, Result(stored.n, DEFERRED, "4.3.0", reason)) for stored in lost])
                break
        if known and self._policy.suppression.enabled:
            known = await self._policy.suppression.sift(known)
        self._divide(message, known)

    async def _ask(self, message: ActiveMessage, stored: StoredRecipient) -> Route | None:
        """The way of one recipient; None where nobody can say."""
        try:
            return await self._lookup.resolve(stored.recipient.address, message.envelope.sender)
        except (LookupUnavailable, ProtocolError) as error:
            log.warning(f"{message.queue_id}: look-up of <{stored.recipient.address}>: {error}")
            return None

    def _divide(self, message: ActiveMessage, routes: list[tuple[StoredRecipient, Route]]) -> None:
        """Sort recipients into entries."""
        groups: dict[tuple[str, str], list[StoredRecipient]] = {}
        for stored, route in routes:
            if route.recipient != stored.recipient.address:
                stored = _readdressed(stored, route.recipient)
            together = groups.get(key := (route.transport, route.nexthop))
            if together is None:
                groups[key] = [stored]
            else:
                together.append(stored)
        for (name, nexthop), recipients in groups.items():
            if name in BUILT_IN:
                results = [_built_in(name, nexthop, stored) for stored in recipients]
                if self._soft_bounce:
                    results = [softened(result) for result in results]
                self._decided(message, list(zip(recipients, results, strict=True)))
                continue
            if name in self._put_off and not message.flushed:
                waits = [(stored, Result(stored.n, DEFERRED, "4.3.2", PUT_OFF)) for stored in recipients]
                self._decided(message, waits)
                continue
            transport = self._transport(name)
            if message.planned:
                recipients = self._due(message, transport, nexthop, recipients)
                if not recipients:
                    continue
            # With VERP each recipient is told another sender.
            limit = 1 if message.envelope.verp else transport.rules.batch
            if len(recipients) == 1:
                transport.add(message, nexthop, recipients, limit)
                continue
            for batch in batches(recipients, limit):
                transport.add(message, nexthop, batch, limit)
        self._ready(message)

    def _due(
        self, message: ActiveMessage, transport: Transport, nexthop: str, recipients: list[StoredRecipient]
    ) -> list[StoredRecipient]:
        """Those whose own schedule has come to a point in time; the others are left alone in this pass."""
        rule = self._policy.rule(transport.name, nexthop, transport.site(nexthop))
        due = [stored for stored in recipients if self._policy.due(message, stored.n, rule)]
        if len(due) < len(recipients):
            tried = {stored.n for stored in due}
            for stored in recipients:
                if stored.n not in tried:
                    self._policy.left_alone(message, stored.n, rule)
            self._settling.left_alone(message, len(recipients) - len(due))
        return due


def _readdressed(stored: StoredRecipient, address: str) -> StoredRecipient:
    recipient = stored.recipient
    original = recipient.original or recipient.address
    return StoredRecipient(stored.n, type(recipient)(address, original, recipient.orcpt, recipient.notify), stored.done)


def _built_in(transport: str, nexthop: str, stored: StoredRecipient) -> Result:
    """The result that a built-in transport stands for; `nexthop` is "[DSN] text"."""
    dsn, _, text = nexthop.partition(" ")
    if not text or not dsn[:1].isdigit():
        dsn, text = "", nexthop
    if transport == "discard":
        return Result(stored.n, SENT, dsn or "2.0.0", text or "discarded")
    if transport == "retry":
        return Result(stored.n, DEFERRED, dsn or "4.3.0", text or "mail is deferred by configuration")
    return Result(stored.n, BOUNCED, dsn or "5.0.0", text or "mail is refused by configuration")
