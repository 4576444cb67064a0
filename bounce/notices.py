"""Writing to senders: which report, to whom, and into the queue with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeAlias

from pillarbox.bounce.logs import Selection, note_told
from pillarbox.lib.address.verp import verp_sender
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
from pillarbox.lib.config.parameters.verp import DISABLE_VERP_BOUNCES
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
    VERIFY,
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
from pillarbox.lib.queue.outcomes import ACTIONS, DELAYED, DELIVERED, EXPANDED, FAILED, RELAYED, TOLD, TRACED, Outcome
from pillarbox.lib.store.failure import DeliveryFailure

REPORT_RECIPIENTS = 5000
"""Recipients of one report; what there are more of goes into further ones.  They are held in memory while it is
written, some megabytes, and with usual texts it stays below the default message_size_limit."""

TOO_BIG = "5.3.4"
"""What cleanup says where a message is larger than message_size_limit."""

Chosen: TypeAlias = Callable[[], Iterable[Outcome]]
"""The outcomes that a report is about, from the start on each call."""


@dataclass(frozen=True, slots=True)
class Single:
    """A report on one recipient."""

    outcome: Outcome

    def __call__(self) -> tuple[Outcome]:
        return (self.outcome,)


@dataclass(frozen=True, slots=True)
class Batch:
    """A report on some of the recipients."""

    outcomes: tuple[Outcome, ...]

    def __call__(self) -> tuple[Outcome, ...]:
        return self.outcomes


@dataclass(frozen=True, slots=True)
class Subject:
    """The message that a report is about."""

    queue_id: str
    envelope: Envelope
    content: Content
    marked: bool = False
    """Whether the content stands in a queue file, in which those recipients are marked that are done."""


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
        classes: tuple[str, ...] = config[NOTIFY_CLASSES]
        self._classes = frozenset(classes)
        self._verp_bounces = not config[DISABLE_VERP_BOUNCES]
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
        if subject.envelope.report == "verify":
            return await self.attempt(subject, [path])
        written = []
        for kind, chosen, to, sender in self._failures(subject, path):
            # What the sender has been told of is not repeated should the rest have to wait.
            told = path if kind is FAILURE else ""
            written += await self._write(kind, subject, chosen, to, sender, told)
            if isinstance(chosen, Single):
                note_told(path, chosen())
        successes = Selection(path, (DELIVERED, RELAYED, EXPANDED, TRACED), "success")
        if successes and subject.envelope.sender:
            written += await self._write(SUCCESS, subject, successes, subject.envelope.sender, "")
        return written

    async def attempt(self, subject: Subject, paths: Sequence[str]) -> list[str]:
        """The report on what would be done with every recipient, or was done in the first attempt, from these logs."""
        every = [Selection(path, ACTIONS, "any") for path in paths]
        sender = subject.envelope.sender
        if not sender or not any(every):
            return []
        return await self._write(VERIFY, subject, lambda: chain.from_iterable(each() for each in every), sender, "")

    def is_late(self, envelope: Envelope) -> bool:
        """Whether the message should have been delivered by now, and its sender only wants to know (by-mode N)."""
        by = parse_deliver_by(envelope.deliver_by)
        return by is not None and not by.returns and by.passed(self._clock())

    async def delay(self, subject: Subject, path: str, *, late: bool = False) -> list[str]:
        """The warning that the log "defer" at `path` calls for; `late`: because of a deadline (RFC 2852 section 4)."""
        sender = subject.envelope.sender
        if not sender or self._is_double_bounce(sender):
            return []
        written = []
        if delays := Selection(path, (DELAYED,), "deadline" if late else "delay"):
            written += await self._write(LATE if late else DELAY, subject, delays, sender, "")
        if "delay" in self._classes and (every := Selection(path, (DELAYED,), "any")):
            kind, chosen, to, double = self._copy(DELAY_COPY, every)
            written += await self._write(kind, subject, chosen, to, double)
        return written

    def _failures(self, subject: Subject, path: str) -> Iterator[tuple[Kind, Chosen, str, str]]:
        """The reports on failures: kind, outcomes, recipient, sender."""
        sender = subject.envelope.sender
        # NOTIFY is the sender's word about what the sender hears; the postmaster has notify_classes.
        marks = subject.content.fd if subject.marked else -1
        every = Selection(path, (FAILED, TOLD), "any", marks)
        if not every:
            return
        if self._is_double_bounce(sender):
            log.warning(f"{subject.queue_id}: undeliverable postmaster notification discarded")
        elif sender:
            failures = Selection(path, (FAILED,), "failure", marks)
            if failures and subject.envelope.verp and self._verp_bounces:
                for failure in failures():
                    yield FAILURE, Single(failure), _verp(subject.envelope, failure.recipient), ""
            elif failures:
                yield FAILURE, failures, sender, ""
            if "bounce" in self._classes:
                yield self._copy(BOUNCE_COPY, every)
        elif self._classes.intersection(("bounce", "2bounce")):
            yield self._copy(POSTMASTER, every)
        else:
            log.info(f"{subject.queue_id}: not returned: the sender is empty, and notify_classes has no 2bounce")

    def _copy(self, kind: Kind, chosen: Chosen) -> tuple[Kind, Chosen, str, str]:
        """A copy for the postmaster."""
        # Not from the null sender: should this fail too, it must be told from an ordinary bounce.
        return kind, chosen, self._notified[kind.name], self._double_bounce_sender

    def _is_double_bounce(self, sender: str) -> bool:
        return sender.lower() == self._double_bounce_sender.lower()

    async def _write(
        self, kind: Kind, subject: Subject, chosen: Chosen, to: str, sender: str, told: str = ""
    ) -> list[str]:
        """A report into the queue, in as many messages as its recipients need; their ids, without those that cleanup
        will never take.  `told`: the log in which to note, between two of them, what the first has told of."""
        written: list[str] = []
        every = iter(chosen())
        batch = Batch(tuple(islice(every, REPORT_RECIPIENTS)))
        while batch.outcomes:
            written += await self._write_batch(kind, subject, batch, to, sender)
            following = Batch(tuple(islice(every, REPORT_RECIPIENTS)))
            if told and following.outcomes:
                note_told(told, batch.outcomes)
            batch = following
        return written

    async def _write_batch(self, kind: Kind, subject: Subject, batch: Batch, to: str, sender: str) -> list[str]:
        # RFC 8689 section 5: what had to be protected is not returned, whatever RET says.
        headers_only = subject.envelope.ret == "hdrs" or subject.envelope.requiretls
        whole = not headers_only and subject.content.size <= self._size_limit
        too_big = False
        for return_body in (whole, False) if whole else (False,):
            try:
                queue_id = await self._submit(kind, subject, batch, to, sender, return_body)
            except Rejected as error:
                if error.code < 500:
                    raise
                log.warning(f"{subject.queue_id}: {kind.log_name} refused by cleanup: {error}")
                too_big = error.enhanced == TOO_BIG
                continue
            log.info(f"{subject.queue_id}: {kind.log_name}: {queue_id}")
            return [queue_id]
        if too_big and (middle := len(batch.outcomes) // 2):  # it is the recipients that are too many for one message
            halves = (Batch(batch.outcomes[:middle]), Batch(batch.outcomes[middle:]))
            return [each for half in halves for each in await self._write_batch(kind, subject, half, to, sender)]
        log.error(f"{subject.queue_id}: {kind.log_name} to <{to}> given up")
        return []

    async def _submit(
        self, kind: Kind, subject: Subject, chosen: Chosen, to: str, sender: str, return_body: bool
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
            retry_until=self._last_end(envelope, chosen) if kind.action == DELAYED else 0.0,
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
            for piece in compose_report(
                report, lambda: _reported(chosen(), envelope.report == "verify", report, self._end(envelope)), original
            ):
                await message.write(piece)
            return (await message.commit()).queue_id
        finally:
            message.abort()

    def _end(self, envelope: Envelope) -> float:
        """When a message is given up, unless the schedule of a recipient's destination has a lifetime of its own."""
        end = max(envelope.arrival, envelope.release) + self._lifetime
        by = parse_deliver_by(envelope.deliver_by)
        return min(end, by.deadline) if by is not None and by.returns else end

    def _last_end(self, envelope: Envelope, chosen: Chosen) -> float:
        """When the last of some recipients is given up."""
        end = self._end(envelope)
        return max(_recipient_end(outcome, end) for outcome in chosen())


def _recipient_end(outcome: Outcome, end: float) -> float:
    """`end` is when a message with such a recipient is given up that has no end of its own."""
    return outcome.until or end


def _all_ascii(chosen: Chosen) -> bool:
    return all(
        outcome.recipient.address.isascii() and outcome.recipient.original.isascii() and outcome.text.isascii()
        for outcome in chosen()
    )


def _reported(chosen: Iterable[Outcome], verify: bool, report: Report, end: float) -> Iterator[ReportedRecipient]:
    for outcome in chosen:
        yield ReportedRecipient(
            address=outcome.recipient.address,
            status="4.4.7" if report.kind is LATE else outcome.status,
            text=f"{EXPIRED}: {outcome.text}" if report.kind is LATE else outcome.text,
            original=outcome.recipient.original,
            orcpt=outcome.recipient.orcpt,
            action=(_VERIFIED if verify else _REPORTED).get(outcome.action, outcome.action),
            remote_mta=outcome.remote_mta,
            diagnostic=outcome.diagnostic,
            last_attempt=outcome.when if outcome.action in (FAILED, DELAYED, TOLD) else 0.0,
            retry_until=_recipient_end(outcome, end) if report.retry_until else 0.0,
        )


_REPORTED = {TRACED: RELAYED, TOLD: FAILED}
_VERIFIED = {
    DELIVERED: "deliverable",
    RELAYED: "deliverable",
    TRACED: "deliverable",
    FAILED: "undeliverable",
    TOLD: "undeliverable",
    DELAYED: "undeliverable",
}
"""What Postfix calls what would become of a recipient; RFC 3464 has no words for it."""


def _verp(envelope: Envelope, recipient: Recipient) -> str:
    """The sender that the next hop of this recipient has seen."""
    return verp_sender(envelope.sender, envelope.verp, recipient.original or recipient.address)


def _qualified(address: str, origin: str) -> str:
    return address if "@" in address else f"{address}@{origin}"
