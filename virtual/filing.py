"""What becomes of one message for one recipient: the writes into mailboxes, and the result that comes of them.

Without a filter that is one write into the mailbox (`plain`).  A filter makes a `Filing` of its own: any number of
writes, which share the syncs of the batch, and a function that turns their outcomes into the recipient's result, or
into another filing where something else is to be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.delivery import (
    BOUNCED,
    DEFERRED,
    SENT,
    Content,
    DeliveryRecipient,
    DeliveryRequest,
    Result,
)
from pillarbox.lib.delivery.delivered import delivered_lines
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.maildir.writer import MaildirDelivery
from pillarbox.lib.store.quota import FROM_FILE, Quota

RELAY: Final = "virtual"

Outcomes = Sequence[DeliveryFailure | None]
"""One for each write of a filing, in its order: None for stored."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for one recipient whose mailbox, a Maildir, is known."""

    request: DeliveryRequest
    recipient: DeliveryRecipient
    content: Content
    maildir: str
    """The directory."""
    folder: str = ""
    """The mailbox in it that the recipient's address names; "" for INBOX."""
    quota: Quota = FROM_FILE

    @property
    def header(self) -> bytes:
        """The lines that delivery prepends."""
        return delivered_lines(self.request.sender, self.recipient.original, self.recipient.address)

    def into(self, folder: str = "", flags: tuple[str, ...] = (), create: bool = False) -> MaildirDelivery:
        """The write of this message into a folder of the recipient."""
        content = self.content
        chunks = None if content.in_file else content.chunks
        return MaildirDelivery(
            self.maildir,
            self.header,
            content.fd,
            content.offset,
            content.size,
            chunks,
            folder,
            flags,
            create,
            self.quota,
        )

    def sent(self, text: str = "delivered to maildir", handed: str = "") -> Result:
        """The result of success; `handed` where the message was sent on (`lib.delivery.result`)."""
        return Result(self.recipient.n, SENT, "2.0.0", text, RELAY, handed=handed)


@dataclass(frozen=True, slots=True)
class Filing:
    """The writes, and what comes of their outcomes."""

    writes: tuple[MaildirDelivery, ...]
    conclude: Callable[[Outcomes], Result | Filing]
    """Called once, after the writes; another filing is carried out in turn.  Raises DeliveryFailure for a failure."""
    remembers: bool = False
    """Whether something will be remembered then that the next message for this mailbox has to know."""


def plain(letter: Letter) -> Filing:
    """Into the mailbox that the address names."""

    def conclude(outcomes: Outcomes) -> Result:
        for failure in outcomes:
            if failure is not None:
                raise failure
        return letter.sent()

    return Filing((letter.into(letter.folder, create=True),), conclude)


def failed(recipient: DeliveryRecipient, failure: DeliveryFailure) -> Result:
    """The result for a failure."""
    return Result(recipient.n, BOUNCED if failure.permanent else DEFERRED, failure.dsn, failure.text, RELAY)
