"""Delivery into a store of any kind: a batch of messages for one account's mailboxes.

Promises: a message without a failure is stored, durable, and will be seen by every session; a message with one is not
stored, and the others of the batch are not touched by that.  Failures speak as delivery agents do (`failure`): what
can pass is transient, and a quota bounces or waits as the account's quota says.

`deliver_each` is for stores that have nothing better than one message after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.lib.store.failure import DeliveryFailure, from_os_error

if TYPE_CHECKING:
    from pillarbox.lib.store.interface import Store, StoreError

_KEYWORD: Final = re.compile(r"[!#$&'+-\[^-z|-~]+")
"""An atom of RFC 9051 section 9."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for a mailbox of the account.

    `content` gives it in pieces of any size, LF or CRLF line ends; it may raise OSError and EOFError, which become the
    message's failure.
    """

    content: Callable[[], Iterable[bytes]]
    mailbox: str = "INBOX"
    """As IMAP names it."""
    flags: tuple[str, ...] = ()
    """As on the wire: `\\Seen`, `$label`.  What cannot be kept is left out."""
    create: bool = False
    """Make the mailbox where there is none; else `NoSuchFolder` is the result."""
    date: float | None = None
    """The internal date, None for now."""


Outcomes = list[DeliveryFailure | None]
"""What became of the messages of a batch, each at its place: None for stored, else why not."""


class NoSuchFolder(DeliveryFailure):
    """The mailbox does not exist, or none can have this name (then `dsn` is of class 5)."""


def split_flags(flags: Iterable[str]) -> tuple[int, list[str]]:
    """System flags as bits, and keywords; what is neither is left out."""
    from pillarbox.lib.store.interface import SYSTEM_FLAGS

    bits, keywords = 0, []
    for flag in flags:
        if _KEYWORD.fullmatch(flag):
            keywords.append(flag)
        else:
            bits |= SYSTEM_FLAGS.get(flag.title(), 0)
    return bits, keywords


def deliver_each(store: Store, batch: Sequence[Delivery], *, tempfail: bool = False) -> Outcomes:
    """Store one message after the other; the result at the same index is None for stored, else why not.

    `tempfail`: a quota that is used up makes mail wait.
    """
    return [_deliver(store, delivery, tempfail) for delivery in batch]


def _deliver(store: Store, delivery: Delivery, tempfail: bool) -> DeliveryFailure | None:
    from pillarbox.lib.store.interface import BadMailboxName, MailboxExists, MailboxNotFound, StoreError

    flags, keywords = split_flags(delivery.flags)
    try:
        if delivery.create and not store.exists(delivery.mailbox):
            try:
                store.create(delivery.mailbox)
            except MailboxExists:
                pass
        store.append(delivery.mailbox, delivery.content(), flags, keywords, delivery.date)
    except BadMailboxName as error:
        return NoSuchFolder("5.2.0", f'cannot deliver to folder "{delivery.mailbox}": {error}')
    except MailboxNotFound:
        return NoSuchFolder("4.2.0", f'no folder "{delivery.mailbox}"')
    except StoreError as error:
        return from_store_error(error, f'cannot deliver to "{delivery.mailbox}"', tempfail)
    except EOFError as error:
        return DeliveryFailure("4.3.0", f"cannot read the message: {error}")
    except OSError as error:
        return from_os_error(error, "cannot read the message")
    return None


def from_store_error(error: StoreError, what: str, tempfail: bool) -> DeliveryFailure:
    """The failure for a store's error: a full disk waits, a quota as `tempfail` says, everything else waits."""
    from pillarbox.lib.store.interface import OverQuota

    if isinstance(error.__cause__, OSError):
        return from_os_error(error.__cause__, what)
    if isinstance(error, OverQuota) and error.__cause__ is not None:
        return DeliveryFailure("4.3.1", f"{what}: {error}")  # the disk, as a database tells of it
    if isinstance(error, OverQuota):
        return DeliveryFailure("4.2.2" if tempfail else "5.2.2", f"mailbox is full: {error}")
    return DeliveryFailure("4.2.0", f"{what}: {error}")
