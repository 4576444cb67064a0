"""Writing to senders: which report, to whom, and into the queue with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pillarbox.bounce.logs import Selection
from pillarbox.lib.clients.cleanup import AsyncCleanupClient, Rejected
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.bounce import (
    BOUNCE_NOTICE_RECIPIENT,
    BOUNCE_SIZE_LIMIT,
    DELAY_NOTICE_RECIPIENT,
    DOUBLE_BOUNCE_SENDER,
    NOTIFY_CLASSES,
    TWO_BOUNCE_NOTICE_RECIPIENT,
)
from pillarbox.lib.config.parameters.general import MAIL_NAME, MYHOSTNAME, MYORIGIN
from pillarbox.lib.config.parameters.qmgr import MAXIMAL_QUEUE_LIFETIME
from pillarbox.lib.delivery import Content, text_content
from pillarbox.lib.log import log
from pillarbox.lib.message.dsn import (
    BOUNCE_COPY,
    DELAY,
    DELAY_COPY,
    FAILURE,
    LATE,
    POSTMASTER,
    SUCCESS,
    Kind,
    Original,
    Report,
    ReportedRecipient,
    Template,
)
from pillarbox.lib.message.dsn import compose as compose_report
from pillarbox.lib.message.header import compose as compose_field
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.deliver_by import EXPIRED, parse_deliver_by
from pillarbox.lib.queue.outcomes import DELAYED, DELIVERED, EXPANDED, FAILED, RELAYED, TRACED, Outcome
from pillarbox.lib.store.failure import DeliveryFailure


@dataclass(frozen=True, slots=True)
class Subject:
    """The message that a report is about."""

    queue_id: str
    envelope: Envelope
    content: Content


class Notices:
    """Writes reports.  Methods raise ServiceUnavailable where cleanup cannot take them now."""

    def __init__(
        self,
        config: Config,
        cleanup: AsyncCleanupClient,
        clock: Callable[[], float] = time.time,
        templates: Mapping[str, Template] | None = None,
    ) -> None:
        """`templates` are the administrator's words by name, expanded."""
        self._templates = templates or {}
        self._cleanup = cleanup
        self._clock = clock
        self._host = config[MYHOSTNAME]
        self._origin = config[MYORIGIN]
        self._mail_name = config[MAIL_NAME]
        self._size_limit = config[BOUNCE_SIZE_LIMIT]
        self._lifetime = config[MAXIMAL_QUEUE_LIFETIME]
        self._classes: tuple[str, ...] = config[NOTIFY_CLASSES]
        self._double_bounce_sender = f"{config[DOUBLE_BOUNCE_SENDER]}@{self._origin}"
        self._notified = {
            kind.name: _qualified(config[parameter], self._origin)
            for kind, parameter in (
                (POSTMASTER, TWO_BOUNCE_NOTICE_RECIPIENT),
                (BOUNCE_COPY, BOUNCE_NOTICE_RECIPIENT),
                (DELAY_COPY, DELAY_NOTICE_RECIPIENT),
            )
        }

    async def final(self, subject: Subject, path: str) -> list[str]:
        """The reports that the log "bounce" at `path` calls for; the queue ids of those written."""
        written = []
        failures = Selection(path, (FAILED,), "failure")
        if failures:
            written += await self._failure(subject, failures)
        successes = Selection(path, (DELIVERED, RELAYED, EXPANDED, TRACED), "success")
        if successes and subject.envelope.sender:
            written.append(await self._write(SUCCESS, subject, successes, subject.envelope.sender, ""))
        return [queue_id for queue_id in written if queue_id]

    def is_late(self, envelope: Envelope) -> bool:
        """Whether the message should have been delivered by now, and its sender only wants to know (by-mode N)."""
        by = parse_deliver_by(envelope.deliver_by)
        return by is not None and not by.returns and by.passed(self._clock())

    async def delay(self, subject: Subject, path: str, *, late: bool = False) -> list[str]:
        """The warning that the log "defer" at `path` calls for; `late`: because of a deadline (RFC 2852 section 4)."""
        delays = Selection(path, (DELAYED,), "deadline" if late else "delay")
        if not delays or not subject.envelope.sender or self._is_double_bounce(subject.envelope.sender):
            return []
        written = [await self._write(LATE if late else DELAY, subject, delays, subject.envelope.sender, "")]
        if "delay" in self._classes:
            written.append(await self._notify(DELAY_COPY, subject, delays))
        return [queue_id for queue_id in written if queue_id]

    async def _failure(self, subject: Subject, failures: Selection) -> list[str]:
        sender = subject.envelope.sender
        if self._is_double_bounce(sender):
            log.warning(f"{subject.queue_id}: undeliverable postmaster notification discarded")
            return []
        if sender:
            written = [await self._write(FAILURE, subject, failures, sender, "")]
            if "bounce" in self._classes:
                written.append(await self._notify(BOUNCE_COPY, subject, failures))
            return written
        if "2bounce" not in self._classes:
            log.info(f"{subject.queue_id}: not returned: the sender is empty, and notify_classes has no 2bounce")
            return []
        return [await self._notify(POSTMASTER, subject, failures)]

    async def _notify(self, kind: Kind, subject: Subject, chosen: Selection) -> str:
        """A copy for the postmaster."""
        # Not from the null sender: should this fail too, it must be told from an ordinary bounce.
        return await self._write(kind, subject, chosen, self._notified[kind.name], self._double_bounce_sender)

    def _is_double_bounce(self, sender: str) -> bool:
        return sender.lower() == self._double_bounce_sender.lower()

    async def _write(self, kind: Kind, subject: Subject, chosen: Selection, to: str, sender: str) -> str:
        """One report into the queue; its id, "" where cleanup will never take it."""
        # RFC 8689 section 5: what had to be protected is not returned, whatever RET says.
        headers_only = subject.envelope.ret == "hdrs" or subject.envelope.requiretls
        whole = not headers_only and subject.content.size <= self._size_limit
        for return_body in (whole, False) if whole else (False,):
            try:
                queue_id = await self._submit(kind, subject, chosen, to, sender, return_body)
            except Rejected as error:
                if error.code < 500:
                    raise
                log.warning(f"{subject.queue_id}: {kind.log_name} refused by cleanup: {error}")
                continue
            log.info(f"{subject.queue_id}: {kind.log_name}: {queue_id}")
            return queue_id
        log.error(f"{subject.queue_id}: {kind.log_name} to <{to}> given up")
        return ""

    async def _submit(
        self, kind: Kind, subject: Subject, chosen: Selection, to: str, sender: str, return_body: bool
    ) -> str:
        now = self._clock()
        envelope = subject.envelope
        header = subject.content.header()
        body = return_body and kind.with_body
        international = envelope.smtputf8 and not (to.isascii() and header.isascii() and _all_ascii(chosen))
        report = Report(
            kind=kind,
            host=self._host,
            mail_name=self._mail_name,
            queue_id=subject.queue_id,
            to=to,
            sender=envelope.sender,
            arrival=envelope.arrival,
            when=now,
            envid=envelope.envid,
            return_body=body,
            smtputf8=international,
            retry_until=max(envelope.arrival, envelope.release) + self._lifetime if kind.action == DELAYED else 0.0,
            words=self._templates.get(kind.template),
        )
        content = subject.content
        if body:
            try:
                content = text_content(content, envelope.body)
            except DeliveryFailure:
                body = False
        original = Original(
            header=header,
            size=content.size,
            content=content.chunks if body else None,
            eight_bit=body and not content.is_ascii(),
        )
        message = await self._cleanup.open()
        try:
            message.begin(
                Envelope(
                    sender=sender,
                    recipients=(Recipient(to, notify=("never",)),),
                    arrival=now,
                    body="8bitmime" if original.eight_bit or report.eight_bit else "7bit",
                    smtputf8=international,
                    requiretls=envelope.requiretls,
                    origin="bounce",
                )
            )
            await message.write(received_by(host=self._host, queue_id=message.queue_id, when=now))
            message_id = make_message_id(message.queue_id, self._host, now)
            await message.write(compose_field(b"Message-ID", message_id.encode()))
            for piece in compose_report(report, lambda: _reported(chosen(), report), original):
                await message.write(piece)
            return (await message.commit()).queue_id
        finally:
            message.abort()


def _all_ascii(chosen: Selection) -> bool:
    return all(
        outcome.recipient.address.isascii() and outcome.recipient.original.isascii() and outcome.text.isascii()
        for outcome in chosen()
    )


def _reported(chosen: Iterator[Outcome], report: Report) -> Iterator[ReportedRecipient]:
    for outcome in chosen:
        yield ReportedRecipient(
            address=outcome.recipient.address,
            status="4.4.7" if report.kind is LATE else outcome.status,
            text=f"{EXPIRED}: {outcome.text}" if report.kind is LATE else outcome.text,
            original=outcome.recipient.original,
            orcpt=outcome.recipient.orcpt,
            action=RELAYED if outcome.action == TRACED else outcome.action,
            remote_mta=outcome.remote_mta,
            diagnostic=outcome.diagnostic,
            last_attempt=outcome.when if outcome.action in (FAILED, DELAYED) else 0.0,
            retry_until=report.retry_until,
        )


def _qualified(address: str, origin: str) -> str:
    return address if "@" in address else f"{address}@{origin}"
