"""A maildrop: the INBOX of a store as a POP3 session sees it, numbered from 1 and locked against a second session.

Sizes are taken once, at the beginning: STAT needs them all, and they must not change while the session lasts.
Delivery and IMAP sessions go on meanwhile; what they add is seen by the next session, what they remove is a message
that is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pillarbox.lib.store.interface import INBOX, SEEN, Mailbox, MessageContent, MessageGone, Store, StoreUnavailable

STORES_OWN = "%08Xu%08Xv"
"""The form of the unique-ids that stores make."""

_VARIABLE = re.compile(r"%(0?[0-9]{1,2})?(X)?([uv])")


class OpenMaildrop:
    """The messages of one session.  Methods raise `StoreError` and its subclasses."""

    def __init__(self, mailbox: Mailbox, uidl_format: str = "") -> None:
        """`uidl_format`: of unique-ids that are not written down (`POP3_UIDL_FORMAT`); "" is the store's own."""
        self._mailbox = mailbox
        self._uidl_format = uidl_format
        self._uids: list[int] = []
        self._sizes: list[int] = []
        for uid, known in zip(mailbox.messages.uids, mailbox.messages.sizes(), strict=True):
            try:
                size = known if known >= 0 else mailbox.size(uid)
            except MessageGone:
                continue  # removed since the snapshot was taken
            except StoreUnavailable:
                size = 0  # nobody can read it; RETR says why, and the others are there
            self._uids.append(uid)
            self._sizes.append(size)

    def __len__(self) -> int:
        return len(self._uids)

    def size(self, number: int) -> int:
        """Octets with CRLF line ends."""
        return self._sizes[number - 1]

    def uidl(self, number: int) -> str:
        """The unique-id; of a message that another program removed, the one that it would have."""
        uid, validity = self._uids[number - 1], self._mailbox.uid_validity
        try:
            uidl = self._mailbox.pop3_uidl(uid)
        except MessageGone:
            uidl = formatted(STORES_OWN, uid, validity)
        if self._uidl_format and uidl == formatted(STORES_OWN, uid, validity):
            return formatted(self._uidl_format, uid, validity)
        return uidl

    def read(self, number: int) -> MessageContent:
        """Open a message.  Raises MessageGone."""
        return self._mailbox.read(self._uids[number - 1])

    def remove(self, numbers: tuple[int, ...]) -> None:
        """Remove messages for good; those that are gone already count as removed."""
        self._mailbox.expunge([self._uids[number - 1] for number in numbers])

    def expired(self, before: float) -> list[int]:
        """The messages that arrived before this time (seconds since the epoch) and have the flag Seen."""
        found = []
        for number, uid in enumerate(self._uids, 1):
            position = self._mailbox.messages.position(uid)
            if position is None or not self._mailbox.messages[position].flags & SEEN:
                continue
            with suppress(MessageGone):
                if self._mailbox.internal_date(uid) < before:
                    found.append(number)
        return found

    def mark_seen(self, numbers: set[int]) -> None:
        """Set the flag Seen, for an IMAP client that looks at the same mailbox."""
        self._mailbox.set_flags([self._uids[number - 1] for number in sorted(numbers)], "add", SEEN)


def formatted(form: str, uid: int, validity: int) -> str:
    """A unique-id by its form."""
    values = {"u": uid, "v": validity}
    return _VARIABLE.sub(lambda found: f"{values[found[3]]:{found[1] or ''}{found[2] or ''}}", form)


@contextmanager
def open_maildrop(store: Store, uidl_format: str = "") -> Iterator[OpenMaildrop]:
    """The INBOX, locked; raises MailboxBusy at once where another POP3 session has it, and other StoreErrors."""
    with ExitStack() as held:
        held.callback(store.close)
        held.enter_context(store.session_lock(INBOX))
        yield OpenMaildrop(held.enter_context(store.open(INBOX)), uidl_format)
