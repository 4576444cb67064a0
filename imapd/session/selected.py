"""The selected mailbox as the client knows it: sequence numbers, and what the client must be told (RFC 9051 section 7).

The store's snapshot changes only when this session asks for it (`refresh`, `expunge`, `move`, `set_flags`), so the
sequence numbers of a command hold from its beginning to its end.  Changes by others are taken in, and told, between
commands that allow it: EXPUNGE must not be sent while FETCH, STORE or SEARCH by sequence number runs (section 7.5.1).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.lib.store.interface import SYSTEM_FLAGS, Changes, Mailbox, MessageState

_FLAG_BITS = tuple((bit, name.encode("ascii")) for name, bit in SYSTEM_FLAGS.items())
_BITS_BY_NAME = {name.upper(): bit for name, bit in SYSTEM_FLAGS.items()}


class MailboxReplaced(Exception):
    """The mailbox got a new UIDVALIDITY under the session, which must end."""


def flag_names(state: MessageState) -> bytes:
    """`(\\Seen $Label)`."""
    names = [name for bit, name in _FLAG_BITS if state.flags & bit]
    if state.recent:
        names.append(b"\\Recent")
    if state.keywords:
        names += [keyword.encode("ascii", "replace") for keyword in sorted(state.keywords)]
    return response.parenthesized(names)


def split_flags(names: Iterable[str]) -> tuple[int, frozenset[str]]:
    """Flags as bits and keywords.  \\Recent and system flags that do not exist cannot be set and are left out."""
    bits, keywords = 0, set()
    for name in names:
        if name.startswith("\\"):
            bits |= _BITS_BY_NAME.get(name.upper(), 0)
        else:
            keywords.add(name)
    return bits, frozenset(keywords)


class Selected:
    """An open mailbox and the numbering that the client has been told of."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.uids = list(mailbox.messages.uids)
        """Sequence number n is the message `uids[n - 1]`."""
        self._keywords = mailbox.keywords

    @property
    def count(self) -> int:
        return len(self.uids)

    def state(self, index: int) -> MessageState:
        """The flags of the message with sequence number `index + 1`."""
        return self.mailbox.messages[index]

    def index(self, uid: int) -> int | None:
        """The position of a UID."""
        found = bisect_left(self.uids, uid)
        return found if found < len(self.uids) and self.uids[found] == uid else None

    def recent(self) -> int:
        """How many messages are \\Recent."""
        return self.mailbox.messages.recent()

    def first_unseen(self) -> int:
        """The sequence number of the first message without \\Seen, 0 where there is none."""
        return self.mailbox.messages.counts().first_unseen + 1

    # --- what the client is told
    def opening(self) -> list[bytes]:
        """The untagged responses to SELECT and EXAMINE (RFC 3501 section 6.3.1)."""
        mailbox = self.mailbox
        lines = [
            *self._flags_lines(),
            response.untagged(b"%d EXISTS" % self.count),
            response.untagged(b"%d RECENT" % self.recent()),
        ]
        unseen = self.first_unseen()
        if unseen:
            lines.append(response.status(b"*", b"OK", "First unseen.", f"UNSEEN {unseen}"))
        lines.append(response.status(b"*", b"OK", "UIDs valid", f"UIDVALIDITY {mailbox.uid_validity}"))
        lines.append(response.status(b"*", b"OK", "Predicted next UID", f"UIDNEXT {mailbox.uid_next}"))
        return lines

    def _flags_lines(self) -> list[bytes]:
        system = [name for _, name in _FLAG_BITS]
        keywords = [keyword.encode("ascii", "replace") for keyword in self.mailbox.keywords]
        known = response.parenthesized(system + keywords)
        if self.mailbox.read_only:
            permanent, text = b"()", "Read-only mailbox."
        else:
            star = [b"\\*"] if self.mailbox.accepts_new_keywords else []
            permanent, text = response.parenthesized(system + keywords + star), "Flags permitted."
        return [
            response.untagged(b"FLAGS", known),
            response.status(b"*", b"OK", text, f"PERMANENTFLAGS {permanent.decode('ascii')}"),
        ]

    def refresh(self, *, with_uid: bool = False) -> list[bytes]:
        """Take in what others did.  Raises MailboxReplaced, StoreError."""
        changes = self.mailbox.refresh()
        return self._tell(changes, with_uid) if changes else []

    def _tell(self, changes: Changes, with_uid: bool) -> list[bytes]:
        if changes.uid_validity_changed:
            raise MailboxReplaced
        lines = self._remove(changes.expunged)
        lines += self.keyword_lines()
        for state in changes.changed:
            index = self.index(state.uid)
            if index is not None:
                lines.append(self.flags_line(index, state, with_uid))
        if changes.new:
            self.uids += [state.uid for state in changes.new]
            lines.append(response.untagged(b"%d EXISTS" % self.count))
            lines.append(response.untagged(b"%d RECENT" % self.recent()))
        return lines

    def flags_line(self, index: int, state: MessageState, with_uid: bool) -> bytes:
        """The untagged FETCH that tells of flags."""
        uid = b"UID %d " % state.uid if with_uid else b""
        return b"* %d FETCH (%bFLAGS %b)\r\n" % (index + 1, uid, flag_names(state))

    def keyword_lines(self) -> list[bytes]:
        """FLAGS anew, if a keyword has come up that the client has not been told of (RFC 9051 section 7.3.5)."""
        keywords = self.mailbox.keywords
        if keywords == self._keywords:
            return []
        self._keywords = keywords
        return self._flags_lines()

    def removed(self) -> list[bytes]:
        """EXPUNGE for the messages that this session's own calls have taken out of the snapshot."""
        if len(self.mailbox.messages) == len(self.uids):
            return []
        left = set(self.mailbox.messages.uids)
        return self._remove([uid for uid in self.uids if uid not in left])

    def _remove(self, expunged: Collection[int]) -> list[bytes]:
        """Renumber.  The highest number is told first, so that each is right when the client reads it."""
        if not expunged:
            return []
        gone = set(expunged)
        lines = [
            b"* %d EXPUNGE\r\n" % (index + 1) for index in range(len(self.uids) - 1, -1, -1) if self.uids[index] in gone
        ]
        self.uids = [uid for uid in self.uids if uid not in gone]
        return lines

    def must_be_writable(self) -> None:
        """Raise NO where the mailbox was opened with EXAMINE."""
        if self.mailbox.read_only:
            raise CommandFailed("Mailbox is read-only", "READ-ONLY")

    def close(self) -> None:
        """Give the mailbox back."""
        self.mailbox.close()
