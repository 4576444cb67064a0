"""Delivering a batch of messages into hosted mailboxes.

Every recipient of every message of the batch becomes one write; all Maildir writes of the batch then share their
waits for the disk.  A recipient gets `sent` only after that.  Whatever is wrong with one recipient is its result alone;
a look-up that cannot be answered defers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import VIRTUAL_MAILBOX_MAPS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE, VIRTUAL_MAILBOX_LIMIT
from pillarbox.lib.delivery import (
    BOUNCED,
    DEFERRED,
    SENT,
    Content,
    DeliveryRecipient,
    DeliveryRequest,
    Result,
    log_result,
    text_content,
)
from pillarbox.lib.delivery.delivered import delivered_lines, delivered_to, has_visited
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.maildir.directories import make_directory
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.mbox.writer import MboxOptions, deliver_to_mbox
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.virtual.place import UnusableAddress, default_place, mapped_place, split_address

RELAY: Final = "virtual"
_ACCOUNTS: Final = ("accounts:",)
"""virtual_mailbox_maps of this value has no paths: every mailbox lies at its default place."""
_NO_VISITS: Final[frozenset[bytes]] = frozenset()

Outcome = tuple[DeliveryRequest, list[Result], str]


class VirtualDelivery:
    """The agent's work; one per process."""

    def __init__(self, config: Config, lookup: LookupClient) -> None:
        self._lookup = lookup
        self._base = config[VIRTUAL_MAILBOX_BASE].rstrip("/")
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._mapped = config[VIRTUAL_MAILBOX_MAPS] not in ((), _ACCOUNTS)
        self._mbox = MboxOptions(size_limit=config[VIRTUAL_MAILBOX_LIMIT])
        self._writer = MaildirWriter()

    def deliver(self, batch: Sequence[DeliveryRequest]) -> Iterator[Outcome]:
        """Deliver; yields each request with a result for each of its recipients, logged."""
        writes: list[MaildirDelivery] = []
        owners: list[tuple[int, int]] = []
        results: list[list[Result]] = []
        for index, request in enumerate(batch):
            row: list[Result] = []
            results.append(row)
            try:
                content = text_content(request.content, request.body)
                visited = delivered_to(content.header())
            except DeliveryFailure as failure:
                row.extend(_failed(recipient, failure) for recipient in request.recipients)
                continue
            except (OSError, EOFError) as error:
                row.extend(
                    _deferred(recipient, f"cannot read the queue file: {error}") for recipient in request.recipients
                )
                continue
            for position, recipient in enumerate(request.recipients):
                try:
                    place = self._place(recipient, visited)
                    if request.probe:
                        text = "delivers to maildir" if place.endswith("/") else "delivers to mailbox"
                        row.append(Result(recipient.n, SENT, "2.0.0", text, RELAY))
                        continue
                    header = delivered_lines(request.sender, recipient.original, recipient.address)
                    if place.endswith("/"):
                        path = f"{self._base}/{place[:-1]}"
                        chunks = None if content.in_file else content.chunks
                        writes.append(MaildirDelivery(path, header, content.fd, content.offset, content.size, chunks))
                        owners.append((index, position))
                        row.append(Result(recipient.n, SENT, "2.0.0", "delivered to maildir", RELAY))
                    else:
                        row.append(self._to_mbox(request, content, recipient, place, header))
                except DeliveryFailure as failure:
                    row.append(_failed(recipient, failure))
        if writes:
            for (index, position), failure_or_none in zip(owners, self._writer.deliver(writes), strict=True):
                if failure_or_none is not None:
                    results[index][position] = _failed(batch[index].recipients[position], failure_or_none)
        for request, row in zip(batch, results, strict=True):
            for recipient, result in zip(request.recipients, row, strict=True):
                log_result(request, recipient, result)
            yield request, row, ""

    def _place(self, recipient: DeliveryRecipient, visited: frozenset[bytes]) -> str:
        """The mailbox below the base.  Raises DeliveryFailure."""
        address = recipient.address
        if has_visited(visited, address):
            raise DeliveryFailure("5.4.6", f"mail forwarding loop for {address}")
        try:
            verdict = self._lookup.recipient(address)
            if verdict.status != "ok":
                if verdict.status == "error" and not verdict.dsn.startswith("5"):
                    raise DeliveryFailure(verdict.dsn, verdict.text)
                raise DeliveryFailure("5.1.1", f'unknown user: "{address}"')
            local, domain = split_address(address, self._delimiters)
            value = self._mapped_value(address, local, domain) if self._mapped else None
            return mapped_place(value) if value is not None and "/" in value else default_place(local, domain)
        except LookupFailed as error:
            raise DeliveryFailure("4.3.0", f"mailbox lookup failure: {error}") from error
        except UnusableAddress as error:
            raise DeliveryFailure("5.1.3", f"bad mailbox address: {error}") from error

    def _mapped_value(self, address: str, local: str, domain: str) -> str | None:
        """What virtual_mailbox_maps gives: for user+extension@domain, user@domain, @domain (virtual(8))."""
        for key in dict.fromkeys((address, f"{local}@{domain}", f"@{domain}")):
            value = self._lookup.get(VIRTUAL_MAILBOX_MAPS.name, key)
            if value is not None:
                return value
        return None

    def _to_mbox(
        self, request: DeliveryRequest, content: Content, recipient: DeliveryRecipient, place: str, header: bytes
    ) -> Result:
        path = f"{self._base}/{place}"
        try:
            make_directory(path.rpartition("/")[0])
        except OSError as error:
            raise from_os_error(error, f"cannot make the directory of {path}") from error
        deliver_to_mbox(path, request.sender, request.arrival, header, content.chunks(), self._mbox)
        return Result(recipient.n, SENT, "2.0.0", "delivered to mailbox", RELAY)


def _failed(recipient: DeliveryRecipient, failure: DeliveryFailure) -> Result:
    return Result(recipient.n, BOUNCED if failure.permanent else DEFERRED, failure.dsn, failure.text, RELAY)


def _deferred(recipient: DeliveryRecipient, text: str) -> Result:
    return Result(recipient.n, DEFERRED, "4.3.0", text, RELAY)
