"""The selected mailbox as the client knows it: sequence numbers, and what the client must be told (RFC 9051 section 7).

The store's snapshot changes only when this session asks for it (`refresh`, `expunge`, `move`, `set_flags`), so the
sequence numbers of a command hold from its beginning to its end, and no list of them is kept here: number n is the
snapshot's n-th message.  Changes by others are taken in, and told, between commands that allow it: EXPUNGE must not be
sent while FETCH, STORE or SEARCH by sequence number runs (section 7.5.1).

What is told takes other forms once the client has enabled them (RFC 7162: MODSEQ and VANISHED; RFC 9051: no RECENT;
RFC 9586: UIDs in place of numbers).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Protocol

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.protocol.sequence import SequenceSet, format_set
from pillarbox.imapd.session.endings import MailboxReplaced
from pillarbox.lib.store.acl import settable
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import SYSTEM_FLAGS, Changes, Mailbox, MessageState

_FLAG_BITS = tuple((bit, name.encode("ascii")) for name, bit in SYSTEM_FLAGS.items())
_BITS_BY_NAME = {name.upper(): bit for name, bit in SYSTEM_FLAGS.items()}


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


class LiveResult(Protocol):
    """The result of a search that the client wants to be told of when it changes (`search.contexts`)."""

    tag: bytes

    def removed(self, numbers: Mapping[int, int]) -> list[bytes]:
        """Messages go: UIDs and the sequence numbers that they had.  Gives what the client is told."""

    def changed(self, source: Any, saved: Sequence[int]) -> tuple[list[bytes], bool]:
        """Look at what is new or changed in the mailbox of a `search.key.Source`.

        Gives what the client is told, and whether the result is kept up to date from now on.
        """


class Selected:
    """An open mailbox and the numbering that the client has been told of."""

    def __init__(self, mailbox: Mailbox, enabled: Set[bytes] = frozenset()) -> None:
        """`enabled` is what the client has enabled; it may grow."""
        self.mailbox = mailbox
        self.count = len(mailbox.messages)
        """EXISTS as the client knows it."""
        self.contexts: list[LiveResult] = []
        """Results that are kept up to date (RFC 5267)."""
        self.text_indexed = False
        """There is a full-text index, which is to know new mail at once."""
        self._enabled = enabled
        self._keywords = mailbox.keywords
        self._told = 0
        self.told_vanished = False
        """Whether VANISHED was told since this was last set to False."""

    @property
    def uids(self) -> Sequence[int]:
        """Sequence number n is the message `uids[n - 1]`.  Good until the next call that changes the snapshot."""
        return self.mailbox.messages.uids

    def named(self, numbers: SequenceSet) -> list[int]:
        """The positions of the UIDs in a set."""
        messages = self.mailbox.messages
        return numbers.indexes(messages.rank, messages.uids[-1] if messages else 0)

    def state(self, index: int) -> MessageState:
        """The flags of the message with sequence number `index + 1`."""
        return self.mailbox.messages[index]

    def index(self, uid: int) -> int | None:
        """The position of a UID."""
        return self.mailbox.messages.position(uid)

    # --- what the client has enabled
    @property
    def keeps_modseqs(self) -> bool:
        """Whether the store keeps modification sequences for this mailbox; else NOMODSEQ (RFC 7162 section 3.1.2.2)."""
        return self.mailbox.highest_modseq > 0

    @property
    def tells_modseqs(self) -> bool:
        """Whether flags are told with MODSEQ: to CONDSTORE-aware clients (RFC 7162 section 3.1)."""
        return b"CONDSTORE" in self._enabled and self.keeps_modseqs

    @property
    def by_uid_only(self) -> bool:
        """UIDONLY (RFC 9586)."""
        return b"UIDONLY" in self._enabled

    @property
    def tells_vanished(self) -> bool:
        """Whether VANISHED stands in for EXPUNGE."""
        return self.by_uid_only or (b"QRESYNC" in self._enabled and self.keeps_modseqs)

    # --- what the client is told
    def opening(self) -> list[bytes]:
        """The untagged responses to SELECT and EXAMINE (RFC 3501 section 6.3.1, RFC 9051 section 6.3.2)."""
        mailbox, counts = self.mailbox, self.mailbox.messages.counts()
        lines = [*self._flags_lines(), *self._exists_lines(counts.recent)]
        if counts.first_unseen >= 0 and not {b"IMAP4REV2", b"UIDONLY"} & self._enabled:
            lines.append(response.status(b"*", b"OK", "First unseen.", f"UNSEEN {counts.first_unseen + 1}"))
        lines.append(response.status(b"*", b"OK", "UIDs valid", f"UIDVALIDITY {mailbox.uid_validity}"))
        lines.append(response.status(b"*", b"OK", "Predicted next UID", f"UIDNEXT {mailbox.uid_next}"))
        lines.append(self.modseq_line())
        lines.append(response.status(b"*", b"OK", "Ok", f"MAILBOXID ({mailbox.mailbox_id})"))  # RFC 8474 section 4.2
        return lines

    def modseq_line(self) -> bytes:
        """HIGHESTMODSEQ or NOMODSEQ (RFC 7162 section 3.1.2)."""
        if not self.keeps_modseqs:
            return response.status(b"*", b"OK", "No permanent mod-sequences", "NOMODSEQ")
        return response.status(b"*", b"OK", "Highest", f"HIGHESTMODSEQ {self.mailbox.highest_modseq}")

    def held_back(self) -> list[bytes]:
        """Where changes by others wait while MODSEQs above theirs were told: what the client has for sure.

        RFC 7162 section 6: else it would take the highest MODSEQ for its own and never ask for those changes again.
        """
        if self._told <= self.mailbox.highest_modseq:
            return []
        self._told = 0
        return [self.modseq_line()]

    def _exists_lines(self, recent: int) -> list[bytes]:
        lines = [response.untagged(b"%d EXISTS" % self.count)]
        if b"IMAP4REV2" not in self._enabled:
            lines.append(response.untagged(b"%d RECENT" % recent))
        return lines

    def _flags_lines(self) -> list[bytes]:
        system = [name for _, name in _FLAG_BITS]
        keywords = [keyword.encode("ascii", "replace") for keyword in self.mailbox.keywords]
        known = response.parenthesized(system + keywords)
        if self.mailbox.read_only:
            permanent, text = b"()", "Read-only mailbox."
        else:
            permitted = [name for bit, name in _FLAG_BITS if self.may_set(bit)]
            permitted += keywords if "w" in self.mailbox.rights else []
            star = [b"\\*"] if self.mailbox.accepts_new_keywords else []
            permanent, text = response.parenthesized(permitted + star), "Flags permitted."
        return [
            response.untagged(b"FLAGS", known),
            response.status(b"*", b"OK", text, f"PERMANENTFLAGS {permanent.decode('ascii')}"),
        ]

    async def refresh(self, *, with_uid: bool = False, with_flags: bool = True) -> Iterator[bytes]:
        """Take in what others did, and give what the client is to be told; without `with_flags` not of changed flags.

        Raises MailboxReplaced, StoreError.
        """
        changes = await patiently(self.mailbox.refresh)
        self._told = 0
        return self._tell(changes, with_uid, with_flags) if changes else iter(())

    def _tell(self, changes: Changes, with_uid: bool, with_flags: bool) -> Iterator[bytes]:
        if changes.uid_validity_changed:
            raise MailboxReplaced
        yield from self._remove(changes.expunged)
        yield from self.keyword_lines()
        for state in changes.changed if with_flags else ():
            index = self.index(state.uid)
            if index is not None:
                yield self.flags_line(index, state, with_uid)
        if changes.new:
            self.count += len(changes.new)
            yield from self._exists_lines(self.mailbox.messages.recent())

    def fetch_opening(self, index: int, uid: int) -> bytes:
        """The beginning of an untagged FETCH, up to its first item: `* 7 FETCH (`."""
        if self.by_uid_only:
            return b"* %d UIDFETCH (" % uid
        return b"* %d FETCH (" % (index + 1)

    def fetch_openings(self, start: int, stop: int) -> tuple[Sequence[int], bytes]:
        """As `fetch_opening` for the positions [start, stop): their numbers, and the form that they stand in."""
        if self.by_uid_only:
            return self.uids[start:stop], b"* %d UIDFETCH ("
        return range(start + 1, stop + 1), b"* %d FETCH ("

    def flags_line(self, index: int, state: MessageState, with_uid: bool) -> bytes:
        """The untagged FETCH that tells of flags."""
        items = self.change_items(state, with_uid=with_uid)
        return self.fetch_opening(index, state.uid) + b" ".join(items) + b")\r\n"

    def modseq_change_line(self, index: int, state: MessageState) -> bytes:
        """The untagged FETCH that tells a client which knows the flags of the new MODSEQ."""
        items = self.change_items(state, with_flags=False)
        return self.fetch_opening(index, state.uid) + b" ".join(items) + b")\r\n"

    def change_items(self, state: MessageState, *, with_uid: bool = False, with_flags: bool = True) -> list[bytes]:
        """What a FETCH that tells of a change has in it: FLAGS, and what the client must have beside them."""
        tells_modseq = self.tells_modseqs
        items = []
        # RFC 7162 section 3.2.4: a server with QRESYNC tells UID and MODSEQ together.
        # RFC 9051 appendix E, 21: IMAP4rev2 tells the UID of every message that changed.
        if (with_uid or tells_modseq or b"IMAP4REV2" in self._enabled) and not self.by_uid_only:
            items.append(b"UID %d" % state.uid)
        if with_flags:
            items.append(b"FLAGS " + self.flag_names(state))
        if tells_modseq:
            items.append(self.modseq_item(state))
        return items

    def tell_modseq(self, modseq: int) -> None:
        """The client is told of this MODSEQ."""
        self._told = max(self._told, modseq)

    def modseq_item(self, state: MessageState) -> bytes:
        """`MODSEQ (n)`."""
        self.tell_modseq(state.modseq)
        return b"MODSEQ (%d)" % state.modseq

    def flag_names(self, state: MessageState) -> bytes:
        """The flags in parentheses, as this client knows them."""
        if state.recent and b"IMAP4REV2" in self._enabled:
            state = state._replace(recent=False)
        return flag_names(state)

    def keyword_lines(self) -> list[bytes]:
        """FLAGS anew, if a keyword has come up that the client has not been told of (RFC 9051 section 7.3.5)."""
        keywords = self.mailbox.keywords
        if keywords == self._keywords:
            return []
        self._keywords = keywords
        return self._flags_lines()

    def removed(self, uids: Iterable[int]) -> list[bytes]:
        """EXPUNGE for those of `uids` (ascending) that this session's own call has taken out of the snapshot."""
        position = self.mailbox.messages.position
        return self._remove([uid for uid in uids if position(uid) is None])

    def _remove(self, expunged: Sequence[int]) -> list[bytes]:
        """Tell of messages (UIDs, ascending) that the snapshot had and has no longer."""
        if not expunged:
            return []
        self.count -= len(expunged)
        lines = self._removed_from_results(expunged) if self.contexts else []
        if self.tells_vanished:
            self.told_vanished = True
            return [*lines, response.untagged(b"VANISHED", format_set(expunged))]
        # The highest number is told first, so that each is right when the client reads it.
        return [*lines, *(b"* %d EXPUNGE\r\n" % number for number in reversed(self._former_numbers(expunged)))]

    def _former_numbers(self, expunged: Sequence[int]) -> list[int]:
        # A message's former position: how many are left before it, and how many went before it.  New messages are all
        # behind.
        uids = self.mailbox.messages.uids
        return [bisect_left(uids, uid) + gone + 1 for gone, uid in enumerate(expunged)]

    def _removed_from_results(self, expunged: Sequence[int]) -> list[bytes]:
        """What live results lose; told first, while the numbers hold (RFC 5267 section 4.3.4)."""
        numbers = dict(zip(expunged, self._former_numbers(expunged), strict=True))
        return [line for context in self.contexts for line in context.removed(numbers)]

    def may_set(self, flags: int) -> bool:
        """Whether the client may change these system flags here (RFC 4314 section 4)."""
        return not self.mailbox.read_only and not flags & ~settable(self.mailbox.rights)

    def must_be_writable(self) -> None:
        """Raise NO where the mailbox was opened with EXAMINE."""
        if self.mailbox.read_only:
            raise CommandFailed("Mailbox is read-only", "READ-ONLY")

    def close(self) -> None:
        """Give the mailbox back."""
        self.mailbox.close()
