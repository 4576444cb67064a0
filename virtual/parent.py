"""The parent, where mailboxes have owners of their own: it has each recipient's delivery done by who owns the mailbox.

It runs as root, so it does little: it asks lookup whose and where the mailbox is, makes the place where only root may,
and passes the request on to the owner's child, with a copy of the content (`excerpt`).  It looks into no message and no
file of a mailbox, and nothing that a child says decides about rights, or about recipients that it was not given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.delivery import DEFERRED, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.delivery.excerpt import excerpt
from pillarbox.lib.hosted.mailboxes import Finding, Found
from pillarbox.lib.hosted.making import make_place
from pillarbox.lib.hosted.owners import MailboxOwner, Owners, usual_owner
from pillarbox.lib.hosted.search import ask_soon
from pillarbox.lib.log import log
from pillarbox.lib.process.children import ChildFailed
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.virtual.crew import Crew
from pillarbox.virtual.filing import RELAY, failed

Addressed = tuple[DeliveryRecipient, Found]

TOGETHER: Final = 50
"""Recipients of one request to a child: with their places they take more than the queue manager's request, and must fit
into a frame as well."""


class ParentDelivery:
    """The agent's work; one per process."""

    def __init__(self, config: Config, *, confine: bool = True) -> None:
        """`confine`: the children are to be confined."""
        self._base = config[VIRTUAL_MAILBOX_BASE].rstrip("/")
        self._lookup = AsyncLookupClient(config)
        self._finding = Finding(config)
        self._owners = Owners(config)
        self._usual = usual_owner(config)
        self._crew = Crew(config, confine=confine)

    def close(self) -> None:
        """Let the children end."""
        self._crew.close()

    async def deliver(self, request: DeliveryRequest) -> tuple[Sequence[Result], str]:
        """Deliver to each recipient of a request."""
        results: dict[int, Result] = {}
        parts: dict[MailboxOwner, list[Addressed]] = {}
        for recipient in request.recipients:
            try:
                found = await ask_soon(self._finding.search(recipient.address), self._lookup)
                owner = await ask_soon(self._owners.search(recipient.address), self._lookup)
                if not request.probe:
                    make_place(self._base, found.path, owner, self._usual, is_maildir=found.is_maildir)
            except DeliveryFailure as failure:
                results[recipient.n] = failed(recipient, failure)
                log_result(request, recipient, results[recipient.n])
            else:
                parts.setdefault(owner, []).append((recipient, found))
        if parts:
            try:
                copied = await excerpt(request, self._base)
            except DeliveryFailure as failure:
                for part in parts.values():
                    results |= {each.n: each for each in _put_off(request, part, failure.text)}
            else:
                with contextlib.closing(copied):
                    results |= await self._parts(copied, parts)
        return [results[recipient.n] for recipient in request.recipients], ""

    async def _parts(
        self, request: DeliveryRequest, parts: Mapping[MailboxOwner, Sequence[Addressed]]
    ) -> dict[int, Result]:
        pieces = (
            self._part(request, owner, part[start : start + TOGETHER])
            for owner, part in parts.items()
            for start in range(0, len(part), TOGETHER)
        )
        return {result.n: result for part in await asyncio.gather(*pieces) for result in part}

    async def _part(self, request: DeliveryRequest, owner: MailboxOwner, part: Sequence[Addressed]) -> list[Result]:
        try:
            return await self._crew.deliver(owner, request, part)
        except ChildFailed as error:
            log.warning(f"{request.queue_id}: delivery process of uid {owner.uid}: {error}")
            return _put_off(request, part, "mailbox delivery process failed")


def _put_off(request: DeliveryRequest, part: Sequence[Addressed], why: str) -> list[Result]:
    results = [Result(recipient.n, DEFERRED, "4.3.0", why, RELAY) for recipient, _ in part]
    for (recipient, _), result in zip(part, results, strict=True):
        log_result(request, recipient, result)
    return results
