"""From recipients to entries: where does each go, and which go together.

`lookup` says transport and next hop of each recipient; what is known already costs no waiting.  Built-in transports
(error, retry, discard) give their result on the spot.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence

from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupUnavailable, Route
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.ipc import FRAME_LIMIT, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient
from pillarbox.qmgr.filter import filter_route
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.transport import Transport

REQUEST_RECIPIENTS = 200
"""Most recipients in one request to an agent, whatever the configuration allows: the answer must fit into a frame."""

REQUEST_SIZE = FRAME_LIMIT // 2
"""Bytes that the recipients of one request may take, estimated; the other half is for the envelope."""

SMALL_BATCH = 10
"""So many recipients fit without counting: their addresses have at most some thousand characters."""

BUILT_IN = ("error", "retry", "discard")
"""Transports that need no agent: the next hop is the reason."""

Decided = Callable[[ActiveMessage, Sequence[tuple[StoredRecipient, Result]]], None]


class Sorting:
    """Takes recipients in, hands entries to their transports and results that need no agent to `decided`."""

    def __init__(
        self,
        lookup: AsyncLookupClient,
        transport: Callable[[str], Transport],
        decided: Decided,
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._lookup = lookup
        self._transport = transport
        self._decided = decided
        self._spawn = spawn

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
        if unknown:
            self._spawn(self._resolve(message, known, unknown))
        else:
            self._divide(message, known)

    async def _resolve(
        self, message: ActiveMessage, known: list[tuple[StoredRecipient, Route]], unknown: list[StoredRecipient]
    ) -> None:
        sender = message.envelope.sender
        for index, stored in enumerate(unknown):
            try:
                known.append((stored, await self._lookup.resolve(stored.recipient.address, sender)))
            except (LookupUnavailable, ProtocolError) as error:
                log.warning(f"{message.queue_id}: look-up of <{stored.recipient.address}>: {error}")
                self._divide(message, known)
                reason = "address resolver failure"
                self._decided(message, [(rest, Result(rest.n, DEFERRED, "4.3.0", reason)) for rest in unknown[index:]])
                return
        self._divide(message, known)

    def _divide(self, message: ActiveMessage, routes: list[tuple[StoredRecipient, Route]]) -> None:
        """Sort recipients into entries."""
        groups: dict[tuple[str, str], list[StoredRecipient]] = {}
        for stored, route in routes:
            if route.recipient != stored.recipient.address:
                stored = _readdressed(stored, route.recipient)
            groups.setdefault((route.transport, route.nexthop), []).append(stored)
        for (name, nexthop), recipients in groups.items():
            if name in BUILT_IN:
                self._decided(message, [(stored, _built_in(name, nexthop, stored)) for stored in recipients])
                continue
            transport = self._transport(name)
            limit = transport.rules.recipient_limit
            for batch in _batches(recipients, min(limit or REQUEST_RECIPIENTS, REQUEST_RECIPIENTS)):
                transport.add(message, nexthop, batch)


def _batches(recipients: list[StoredRecipient], limit: int) -> Iterator[list[StoredRecipient]]:
    """The recipients in groups of at most `limit` that fit into one request."""
    if len(recipients) <= limit and len(recipients) <= SMALL_BATCH:
        yield recipients
        return
    batch: list[StoredRecipient] = []
    size = 0
    for stored in recipients:
        recipient = stored.recipient
        needs = 100 + 6 * (len(recipient.address) + len(recipient.original) + len(recipient.orcpt))
        if batch and (len(batch) >= limit or size + needs > REQUEST_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(stored)
        size += needs
    yield batch


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
