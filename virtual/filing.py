"""What becomes of one message for one recipient: the writes into mailboxes, and the result that comes of them.

Without a filter that is one write into the mailbox (`plain`).  A filter makes a `Filing` of its own: any number of
writes, which share the syncs of the batch, and a function that turns their outcomes into the recipient's result, or
into another filing where something else is to be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from pillarbox.lib.sieve_box.folders import Folders, MaildirFolders, StoreFolders
from pillarbox.lib.store import open_store
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import INBOX
from pillarbox.lib.store.maildir.writer import MaildirDelivery
from pillarbox.lib.store.quota import FROM_FILE, Quota

RELAY: Final = "virtual"

Outcomes = Sequence[DeliveryFailure | None]
"""One for each write of a filing, in its order: None for stored."""


@dataclass(frozen=True, slots=True)
class StoreDelivery:
    """One message for a mailbox of a store that is not the account's Maildir."""

    location: str
    quota: Quota
    header: bytes
    chunks: Callable[[], Iterable[bytes]]
    folder: str
    flags: tuple[str, ...]
    create: bool

    def content(self) -> Iterable[bytes]:
        """What is stored, in pieces."""
        yield self.header
        yield from self.chunks()


Write = MaildirDelivery | StoreDelivery


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for one recipient whose mailbox, no plain mbox file, is known."""

    request: DeliveryRequest
    recipient: DeliveryRecipient
    content: Content
    maildir: str
    """The directory: the Maildir, or what the account has beside a store of another kind."""
    folder: str = ""
    """The mailbox in it that the recipient's address names; "" for INBOX."""
    quota: Quota = FROM_FILE
    location: str = ""
    """The store, where that is not the Maildir."""

    @property
    def header(self) -> bytes:
        """The lines that delivery prepends."""
        return delivered_lines(self.request.sender, self.recipient.original, self.recipient.address)

    def into(self, folder: str = "", flags: tuple[str, ...] = (), create: bool = False) -> Write:
        """The write of this message into a folder of the recipient."""
        content = self.content
        if self.location:
            return StoreDelivery(self.location, self.quota, self.header, content.chunks, folder or INBOX, flags, create)
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

    def folders(self) -> Folders:
        """What the user's filter may know of the mailboxes.  Raises StoreError."""
        return StoreFolders(open_store(self.location)) if self.location else MaildirFolders(self.maildir)

    def sent(self, text: str = "", handed: str = "") -> Result:
        """The result of success; `handed` where the message was sent on (`lib.delivery.result`)."""
        text = text or ("delivered to mailbox" if self.location else "delivered to maildir")
        return Result(self.recipient.n, SENT, "2.0.0", text, RELAY, handed=handed)


@dataclass(frozen=True, slots=True)
class Filing:
    """The writes, and what comes of their outcomes."""

    writes: tuple[Write, ...]
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
