"""What became of each recipient, and of the message when all are settled: removed, deferred, returned.

    decided, settle   results come in, from here or from an agent
    record            the one place where a recipient's result is judged
    next_attempt      the one place where it is decided when a deferred message is tried again

Failures go to `bounce` before the recipient counts as done.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from pillarbox.lib.config.retry import RetryRule
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, EXPANDED, SENT, Result, format_delay
from pillarbox.lib.log import log
from pillarbox.lib.queue import StoredRecipient
from pillarbox.lib.queue.deliver_by import EXPIRED
from pillarbox.qmgr.active import ActiveQueue
from pillarbox.qmgr.failures import Failures
from pillarbox.qmgr.job import Entry
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.room import RecipientRoom
from pillarbox.qmgr.spares import Spares


class Settling:
    """Records results; `more(message)` is called when recipients of a message are done of which more can be read."""

    def __init__(
        self,
        active: ActiveQueue,
        failures: Failures,
        spares: Spares,
        room: RecipientRoom,
        policy: DeliveryPolicy,
        clock: Callable[[], float],
        spawn: Callable[[Coroutine[None, None, None]], None],
        more: Callable[[ActiveMessage], None],
    ) -> None:
        self._active = active
        self._failures = failures
        self._spares = spares
        self._room = room
        self._clock = clock
        self._spawn = spawn
        self._more = more
        self._policy = policy

    @property
    def crowded(self) -> bool:
        """Whether there is room in the active queue only for what has a prospect."""
        return self._active.crowded

    # --- results come in
    def settle(self, entry: Entry, results: list[Result]) -> None:
        """An agent has answered."""
        recipients = entry.recipients
        if len(recipients) == 1 and len(results) == 1 and results[0].n == recipients[0].n:
            message, rule = entry.job.message, self._rule(entry) if self._policy.scheduled else None
            if self.record(message, recipients[0], results[0], rule):
                self._done(message, [recipients[0].n])
            return
        by_number = {result.n: result for result in results}
        pairs = [(stored, by_number.get(stored.n) or _missing(stored.n)) for stored in recipients]
        self._record_all(entry.message, pairs, self._rule(entry))

    def decide(self, entry: Entry, status: str, dsn: str, text: str, *, until: float = 0.0) -> None:
        """The same result for each recipient of an entry, which no agent has given; `until`: they wait for that time,
        untried, instead of their next attempt."""
        pairs = [(stored, Result(stored.n, status, dsn, text)) for stored in entry.recipients]
        self._log(entry.message, pairs)
        self._record_all(entry.message, pairs, self._rule(entry), until)

    def _rule(self, entry: Entry) -> RetryRule | None:
        if not self._policy.scheduled:
            return None
        transport = entry.job.transport
        return self._policy.rule(transport.name, entry.nexthop.name, transport.site(entry.nexthop.name))

    def too_late(self, entry: Entry) -> bool:
        """Whether the sender wants the message back by now instead of late; then it is settled so."""
        message = entry.job.message
        if not message.envelope.deliver_by or not self._past_deadline(message):
            return False
        self.decide(entry, BOUNCED, "5.4.7", EXPIRED)
        return True

    def expanded(self, message: ActiveMessage, recipients: Sequence[StoredRecipient]) -> None:
        """Others have taken the place of these: their sender hears it, and that is all (RFC 3461 section 5.2.7.2)."""
        text = "alias expanded"
        self._record_all(
            message,
            [(stored, Result(stored.n, SENT, "2.0.0", text, handed=EXPANDED)) for stored in recipients],
            None,
        )

    def decided(self, message: ActiveMessage, pairs: Sequence[tuple[StoredRecipient, Result]]) -> None:
        """Results that no agent has given, and so none has logged."""
        self._log(message, pairs)
        self._record_all(message, pairs, None)

    def _log(self, message: ActiveMessage, pairs: Sequence[tuple[StoredRecipient, Result]]) -> None:
        delay = format_delay(max(0.0, self._clock() - message.envelope.arrival))
        for stored, result in pairs:
            recipient = stored.recipient
            original = f", orig_to=<{recipient.original}>" if recipient.original not in ("", recipient.address) else ""
            log.info(
                f"{message.queue_id}: to=<{recipient.address}>{original}, relay={result.relay}, delay={delay}, "
                f"delays={delay}/0/0/0, dsn={result.dsn}, status={result.status} ({result.text})"
            )

    def left_alone(self, message: ActiveMessage, count: int) -> None:
        """So many recipients are not due in this pass: the reason why they wait stays what it was."""
        message.deferred += count
        self._settled(message, count)

    def _record_all(
        self,
        message: ActiveMessage,
        pairs: Sequence[tuple[StoredRecipient, Result]],
        rule: RetryRule | None,
        until: float = 0.0,
    ) -> None:
        done = [stored.n for stored, result in pairs if self.record(message, stored, result, rule, until)]
        if done:
            self._done(message, done)

    # --- one recipient
    def record(
        self,
        message: ActiveMessage,
        stored: StoredRecipient,
        result: Result,
        rule: RetryRule | None = None,
        until: float = 0.0,
    ) -> bool:
        """What became of one recipient.  True: it is done with that; else a report is under way, which settles it.

        `rule` is the retry schedule of its destination, `until` when it may be tried where we have not tried it.
        """
        report = message.envelope.report
        if report == "verify":
            pass  # nothing is delivered, so nothing is tried again
        elif result.status == SENT:
            if not result.wanted(stored.recipient.notify) and not report:
                return True
        elif result.status != BOUNCED:
            if self._past_deadline(message):
                result = replace(result, status=BOUNCED, dsn="5.4.7", text=f"{EXPIRED}: {result.text}")
            elif not self._expired(message, rule, untried=until > 0):
                self._policy.put_off(message, stored.n, result, rule, until)
                self._spawn(self._keep_reason(message, stored, result, self._policy.end(message, rule)))
                return False
        else:
            self._policy.suppression.learn(stored, result)
        self._spawn(self._report(message, stored, result, rule))
        return False

    def _past_deadline(self, message: ActiveMessage) -> bool:
        """Whether the time has passed after which the sender wants the message back (RFC 2852 section 4)."""
        by = message.deliver_by
        return by is not None and by.returns and by.passed(self._clock())

    def _expired(self, message: ActiveMessage, rule: RetryRule | None, *, untried: bool) -> bool:
        if self._policy.expired(message, rule, untried=untried):
            status = "expired"
        elif message.to_expire():
            status = "force-expired"
        else:
            return False
        if not message.expired:
            message.expired = True
            log.info(f"{message.queue_id}: from=<{message.envelope.sender}>, status={status}, returned to sender")
        return True

    async def _report(
        self, message: ActiveMessage, stored: StoredRecipient, result: Result, rule: RetryRule | None
    ) -> None:
        """A failure, or a success that the sender asked to hear of: into the log of `bounce`, then done."""
        if await self._failures.report(message, stored, result):
            message.failed += 1
            # Of failures `bounce` tells the sender only where the recipient is marked.
            if self._mark(message, [stored.n]) or result.status == SENT:
                self._settled(message, 1)
                return
        elif result.status == SENT and result.handed != EXPANDED and message.envelope.report != "verify":
            # It is not delivered once more because nobody can be told of it.
            log.error(f"{message.queue_id}: no report on the delivery to <{stored.recipient.address}>")
            self._done(message, [stored.n])
            return
        self._policy.put_off(message, stored.n, result, rule)
        message.deferred += 1
        self._settled(message, 1)

    async def _keep_reason(self, message: ActiveMessage, stored: StoredRecipient, result: Result, end: float) -> None:
        await self._failures.deferred(message, stored, result, end)
        message.deferred += 1
        self._settled(message, 1)

    def _done(self, message: ActiveMessage, numbers: list[int]) -> None:
        # The last recipients of a message need no mark: the file is removed instead, where nobody else has a say in it.
        last = message.outstanding == len(numbers)
        if not last or message.unread or message.deferred or message.failed or message.has_logs:
            self._mark(message, numbers)
        self._settled(message, len(numbers))

    def _mark(self, message: ActiveMessage, numbers: list[int]) -> bool:
        try:
            message.mark(numbers)
        except OSError as error:
            log.error(f"{message.queue_id}: a recipient could not be marked done: {error.strerror}")
            return False
        return True

    # --- the message
    def _settled(self, message: ActiveMessage, count: int) -> None:
        self._room.settled(message, count)
        if message.unread:
            self._more(message)
        elif not message.outstanding:
            self.pass_ended(message)

    def pass_ended(self, message: ActiveMessage) -> None:
        """Nothing of the message is under way.  A former pass may have left reports that the sender has not got yet."""
        if message.corrupt:
            self._active.corrupt(message.queue_id, message.corrupt)
            self._active.forget(message)
        elif message.failed or message.deferred or message.has_logs:
            self._spawn(self._finish(message))
        else:
            self._complete(message)

    async def _finish(self, message: ActiveMessage) -> None:
        """The end of a pass in which not all went well: tell the sender, then remove or defer."""
        told = message.failed or message.has_reports or message.envelope.report
        if told and not await self._failures.flush(message):
            message.deferred += 1  # the reports stay in the log of `bounce`; the next pass sends them
            message.tried_again_at(self._policy.next_attempt(message, self._clock()))
        if not message.deferred:
            self._complete(message)
            return
        now = self._clock()
        when = self.next_attempt(message, now)
        await self._failures.warn(message, now)
        if message.deleted():
            self._failures.forget(message)  # what has become of it is written for nobody
        self._policy.deferred(message)
        self._active.forget(message)
        if not self._active.set_aside(message.queue_id, when):
            self._policy.waits.drop(message.queue_id)

    def next_attempt(self, message: ActiveMessage, now: float) -> float:
        """When a message of which something is left is tried again."""
        when = message.next_attempt or self._policy.next_attempt(message, now)
        by = message.deliver_by
        if by is not None and now < by.deadline < when:
            when = by.deadline  # what the sender is to be told then is not to wait for the next attempt
        return when

    def _complete(self, message: ActiveMessage) -> None:
        """All recipients are done."""
        try:
            try:
                if not self._spares.keep(message):
                    message.remove()
            except FileNotFoundError:
                message.remove()
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error(f"{message.queue_id}: remove: {error.strerror}")
        else:
            log.info(f"{message.queue_id}: removed")
        self._failures.forget(message)
        self._active.forget(message)


def _missing(n: int) -> Result:
    return Result(n, DEFERRED, "4.3.0", "the delivery agent gave no result")
