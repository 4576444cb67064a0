"""Transcripts of SMTP sessions for the postmaster (notify_classes), through cleanup like any other mail.

A process sends only so many in an hour (`error_notice_limit`): who makes a thousand mistakes on purpose shall not fill
the postmaster's mailbox.  What is left out is counted, and the next notice says so.  Nobody waits for a notice, and
none is ever a reason for anything else to fail; one that cannot be queued now is tried again for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from pillarbox.lib.clients.cleanup import AsyncCleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.bounce import (
    BOUNCE_NOTICE_RECIPIENT,
    DOUBLE_BOUNCE_SENDER,
    ERROR_NOTICE_LIMIT,
    ERROR_NOTICE_RECIPIENT,
    NOTIFY_CLASSES,
)
from pillarbox.lib.config.parameters.general import MAIL_NAME, MYHOSTNAME, MYORIGIN
from pillarbox.lib.log import log
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.header import compose
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.smtp.conversation import CLASSES, Conversation

HOUR = 3600.0

PAUSES = (0.0, 60.0, 600.0)
"""Seconds before each attempt to queue a notice: where the disk is full there is no room for it either."""

PENDING = 20
"""Notices that may wait to be queued at once."""


class RateLimit:
    """At most `limit` in an hour (0: any number); counts what it has refused."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._times: deque[float] = deque()
        self._refused = 0

    def passes(self) -> bool:
        """Whether one more may pass now."""
        if not self._limit:
            return True
        now = self._clock()
        while self._times and self._times[0] <= now - HOUR:
            self._times.popleft()
        if len(self._times) >= self._limit:
            self._refused += 1
            return False
        self._times.append(now)
        return True

    def take_refused(self) -> int:
        """How many were refused since this was asked last."""
        refused, self._refused = self._refused, 0
        return refused


class AsyncNotices:
    """The notices of one process."""

    def __init__(
        self,
        config: Config,
        cleanup: AsyncCleanupClient | None = None,
        clock: Callable[[], float] = time.time,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        classes: tuple[str, ...] = config[NOTIFY_CLASSES]
        self.wanted = frozenset(classes) & frozenset(CLASSES)
        """The classes that sessions are watched for; without any there is nothing to do."""
        self._cleanup = cleanup or AsyncCleanupClient(config)
        self._clock = clock
        self._pauses = pauses
        self._host = config[MYHOSTNAME]
        self._mail_name = config[MAIL_NAME]
        origin = config[MYORIGIN]
        self._sender = f"{config[DOUBLE_BOUNCE_SENDER]}@{origin}"
        self._to_errors = _qualified(config[ERROR_NOTICE_RECIPIENT], origin)
        self._to_bounces = _qualified(config[BOUNCE_NOTICE_RECIPIENT], origin)
        self._limit = RateLimit(config[ERROR_NOTICE_LIMIT], clock)
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, conversation: Conversation, side: str, peer: str) -> None:
        """A session is over: tell the postmaster where it had a problem of a class that is asked for.

        `side` is `SMTP server` or `SMTP client`, `peer` who was at the other end.
        """
        problems = conversation.problems & self.wanted
        if not problems or not self._limit.passes():
            return
        if len(self._tasks) >= PENDING:
            return
        recipient = self._to_bounces if problems == {"bounce"} else self._to_errors
        subject = f"{self._mail_name} {side}: errors from {peer}"
        text = self._text(problems, conversation.transcript.lines())
        task = asyncio.get_running_loop().create_task(self._deliver(recipient, subject, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _text(self, problems: Iterable[str], lines: Iterable[str]) -> str:
        refused = self._limit.take_refused()
        more = f"{refused} such reports were left out since the last one (error_notice_limit).\n\n" if refused else ""
        conversation = "\n".join(f" {line}" for line in lines)
        return (
            f"Transcript of session follows ({', '.join(sorted(problems))}).\n\n{conversation}\n\n{more}"
            "For other details, see the local mail logfile\n"
        )

    async def _deliver(self, recipient: str, subject: str, text: str) -> None:
        for pause in self._pauses:
            await asyncio.sleep(pause)
            try:
                await self._submit(recipient, subject, text)
            except ServiceUnavailable as error:
                log.warning(f"postmaster notice: {error.reason}")
            except Rejected as error:
                log.warning(f"postmaster notice: {error}")
                if error.code >= 500:
                    return
            else:
                return

    async def _submit(self, recipient: str, subject: str, text: str) -> None:
        message = await self._cleanup.open()
        now = self._clock()
        try:
            message.begin(
                Envelope(
                    sender=self._sender,
                    recipients=(Recipient(recipient, notify=("never",)),),
                    arrival=now,
                    body="7bit",
                    origin="notify",
                )
            )
            fields = (
                (b"Date", format_date(now)),
                (b"From", f"Mail Delivery System <MAILER-DAEMON@{self._host}>"),
                (b"To", f"Postmaster <{recipient}>"),
                (b"Subject", subject),
                (b"Message-ID", make_message_id(message.queue_id, self._host, now)),
                (b"Auto-Submitted", "auto-generated"),
            )
            await message.write(received_by(host=self._host, queue_id=message.queue_id, when=now))
            await message.write(b"".join(compose(name, value.encode("ascii", "replace")) for name, value in fields))
            await message.write(b"\n" + text.encode("ascii", "replace"))
            receipt = await message.commit()
            log.info(f"{receipt.queue_id}: postmaster notice: {subject}")
        finally:
            message.abort()


def _qualified(address: str, origin: str) -> str:
    return address if "@" in address else f"{address}@{origin}"
