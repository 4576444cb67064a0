"""What goes from a source to a target: a message, and what both ends of a transfer offer."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import SYSTEM_FLAGS, MessageContent, NoteKind, StoreError
from pillarbox.lib.store.keeping import Identity, Restoring

Key = int | str
"""What names a message within its mailbox of a source, ascending in the order in which messages are given."""
Mark = list[int]
"""What a target notes before it is given messages, to find out later which of them arrived."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a source."""

    key: Key
    flags: int
    keywords: tuple[str, ...]
    date: float
    size: int
    """Octets, for the bounds of a batch and for the progress; about."""
    open: Callable[[], MessageContent]
    """Raises StoreError, OSError."""
    uid: int = 0
    """0 where clients know it by none."""
    saved: float | None = None
    """SAVEDATE, if known."""
    uidl: str = ""
    """The POP3 unique-id, "" where it follows from UID and UIDVALIDITY."""

    def wire_flags(self) -> tuple[str, ...]:
        """The flags as IMAP writes them."""
        return (*(name for name, bit in SYSTEM_FLAGS.items() if self.flags & bit), *self.keywords)


@dataclass(slots=True)
class Opened:
    """A message with its content at hand."""

    message: Message
    content: MessageContent
    trouble: str = ""
    """Why the source could not give the content to its end."""

    def pieces(self) -> Iterator[bytes]:
        """The content with CRLF line ends.  Raises Unreadable."""
        try:
            yield from self.content.chunks()
        except (StoreError, OSError) as error:
            self.trouble = str(error)
            raise Unreadable(errno.EIO, self.trouble) from error


class Unreadable(OSError):
    """The source cannot give a message."""


class Source(Protocol):
    """Where messages come from."""

    @property
    def name(self) -> str:
        """For people and for the journal."""

    def mailboxes(self) -> list[str]:
        """All that hold messages, as IMAP names them.  Raises StoreError."""

    def subscriptions(self) -> Sequence[str]:
        """The names subscribed to.  Raises StoreError."""

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        """What is noted beside the mailbox, or for "" the account, b"" for nothing."""

    def passed_over(self) -> Sequence[str]:
        """What lies there and is not followed or read, each with the reason."""

    def mailbox(self, name: str) -> AbstractContextManager[SourceMailbox]:
        """Open one.  Raises StoreError."""


class SourceMailbox(Protocol):
    """A mailbox of a source."""

    identity: str
    """Changes when keys come to mean other messages."""
    kept: Identity | None
    """What clients know it by; None where nobody knows it.  Then UIDs ascend with the keys."""

    def count(self, after: Key | None) -> int:
        """How many messages come behind a key."""

    def messages(self, after: Key | None) -> Iterator[Message]:
        """The messages behind a key.  Raises StoreError, OSError."""


class Target(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """For people and for the journal."""

    def prepare(self, mailbox: str) -> str:
        """Make the mailbox where there is none; gives the name that it has here.  Raises StoreError, OSError."""

    def mark(self, mailbox: str) -> Mark:
        """Note where what comes next will stand; called before each batch.  Raises StoreError, OSError."""

    def missing(self, mailbox: str, mark: Mark, batch: Sequence[Opened], earlier: Mapping[bytes, int]) -> list[Opened]:
        """Those of a batch begun at `mark` that did not arrive; undoes what arrived by halves.

        `earlier`: by `resemblance`, how many messages like some of the batch came behind the mark before it.
        Raises StoreError, OSError.
        """

    def put(self, mailbox: str, batch: Sequence[Opened]) -> list[DeliveryFailure | None]:
        """Store messages, durably; for each that could not be, why.

        Raises StoreError, OSError where nothing of the batch is stored.
        """

    def subscribe(self, names: Iterable[str]) -> None:
        """Add subscriptions.  Raises StoreError, OSError."""

    def set_note(self, mailbox: str, kind: NoteKind, note: bytes) -> None:
        """Note something beside the mailbox, or for "" the account, unless something is noted there already."""

    def identify(self, mailbox: str, identity: Identity) -> bool:
        """Note what clients know the mailbox by, and from now on the UIDs of its messages; false where that is not done
        like this, or where the mailbox is another one.  Raises OSError."""

    def restoring(self, mailbox: str, identity: Identity, token: int | None) -> Restoring | None:
        """As `Store.restoring`; None where that is not done like this.  Raises StoreError."""

    def uid_validity(self, mailbox: str) -> int:
        """The UIDVALIDITY of a mailbox that is being filled.  Raises StoreError."""


_STATUS: Final = re.compile(
    rb"^(?:Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase):[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE
)


def resemblance(content: MessageContent) -> bytes:
    """The same for a message in every format that it may be stored in, and otherwise not.

    Formats differ in line ends, in an end of line at the end, in the quoting of lines that begin with `From `, and in
    what they keep in the header of their own.
    """
    header = content.header()
    digest = hashlib.blake2b(_STATUS.sub(b"", header.replace(b"\r\n", b"\n")).translate(None, b">\n\r"), digest_size=16)
    for piece in content.chunks(len(header)):
        digest.update(piece.translate(None, b">\r\n"))
    return digest.digest()
