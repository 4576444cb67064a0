"""What a mail store offers to the programs that serve mailboxes (imapd, pop3d) and to tools.

A *store* holds all mailboxes of one account; a *mailbox* is an open view of one of them.  Both are obtained
from `pillarbox.lib.store.open_store(location)`.  The same calls work over every kind of store.

Promises
  * Every call is blocking, takes at most `lock_timeout` seconds to wait for another process, and raises
    nothing but `StoreError` and its subclasses (each says which IMAP response code it deserves).
  * What `commit`, `copy` and `move` have acknowledged is on disk; flag changes and expunges survive the end of the
    process, but a power loss may undo the last of them.  A process killed in any call leaves a mailbox that opens
    again with no message lost and none doubled.
  * A mailbox shows a *snapshot*: `messages` and all UIDs in it stay as they are until this object's own
    `refresh`, `expunge`, `move` or `set_flags` changes it, whatever other programs do meanwhile.
    A message that another program removed raises `MessageGone` when its content is asked for.
  * UIDs follow RFC 9051 section 2.3.1.1: ascending, never reused while `uid_validity` stays the same.
  * Sizes are octets as seen on the wire, with CRLF line ends (RFC 9051 section 2.3.4).

It does not: know sequence numbers (the session's business), parse messages, or be shared between threads.

Mailbox names outside are `str` in Unicode with `/` between levels; `INBOX` is case-insensitive.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import repeat
from typing import Final, Literal, NamedTuple

from pillarbox.lib.store.delivering import Delivery, Outcomes, deliver_each
from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.keeping import Identity, Restoring, id_of

DELIMITER: Final = "/"
INBOX: Final = "INBOX"

# System flags (RFC 9051 section 2.3.2) as bits: a mailbox of 100,000 messages holds 100,000 small integers.
SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16

SYSTEM_FLAGS: Final[dict[str, int]] = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
"""The flag's name on the wire, in its canonical case, and its bit."""

EMAIL_ID: Final = "emailid"
"""The field of `MessageCache` in which `Mailbox.email_id` keeps its digest."""

ALL_RIGHTS: Final = "lrswipkxtea"
"""The rights of RFC 4314 section 2.1, in the order in which they are told."""

TEXT_BODY: Final = "body"
TEXT_HEADER: Final = "header"
"""What `Mailbox.text_candidates` can be asked about."""

NO_KEYWORDS: Final[frozenset[str]] = frozenset()


class StoreError(Exception):
    """A store operation failed.  The text addresses the user.

    `response_code` is the IMAP response code that fits (RFC 9051 section 7.1).
    """

    response_code: str = "SERVERBUG"


class MailboxNotFound(StoreError):
    """No such mailbox."""

    response_code = "NONEXISTENT"


class MailboxExists(StoreError):
    """A mailbox of this name exists already."""

    response_code = "ALREADYEXISTS"


class BadMailboxName(StoreError):
    """The name cannot be a mailbox of this store (empty level, `.` in Maildir++, control character, too long)."""

    response_code = "CANNOT"


class NotPossible(StoreError):
    """The store cannot do this with this mailbox (delete INBOX, select a pure folder, write to a read-only view)."""

    response_code = "CANNOT"


class NoPermission(StoreError):
    """The mailbox belongs to somebody else, who has not granted this (RFC 4314)."""

    response_code = "NOPERM"


class MessageGone(StoreError):
    """The message was removed since the last `refresh`."""

    response_code = "EXPUNGEISSUED"


class OverQuota(StoreError):
    """No room: disk full, quota or size limit reached.  Nothing was stored."""

    response_code = "OVERQUOTA"


class MailboxBusy(StoreError):
    """Another process holds the mailbox's lock longer than `lock_timeout`."""

    response_code = "INUSE"


class StoreUnavailable(StoreError):
    """The files cannot be reached or are damaged (I/O error, permission, corrupt index that cannot be rebuilt)."""

    response_code = "UNAVAILABLE"


class MessageState(NamedTuple):
    """What can change or matters for every message; cheap enough to hold for the whole mailbox."""

    uid: int
    flags: int
    """System flags as bits (`SEEN` ...)."""
    keywords: frozenset[str]
    recent: bool
    """This view is the first to be told of the message (RFC 3501 section 2.3.2)."""
    modseq: int
    """Modification sequence (RFC 7162); 0 where the store does not keep one."""


class Counts(NamedTuple):
    """What SELECT and STATUS tell of all messages."""

    messages: int
    recent: int
    unseen: int
    """Without `SEEN`."""
    deleted: int
    """With `DELETED`."""
    first_unseen: int
    """Position of the first message without `SEEN`, -1 where there is none."""
    size: int
    """Sum of the sizes in octets on the wire; -1 where some are not known yet."""


class Flags(NamedTuple):
    """What a mark of `Snapshot.marks` stands for."""

    flags: int
    keywords: frozenset[str]
    recent: bool


class Snapshot(Sequence[MessageState]):
    """The messages of a mailbox as one view shows them, ascending by UID; rows are made when asked for.

    It lives: the mailbox's own calls change it in place or put another in its place, so take `mailbox.messages` anew
    for each step.  Whoever needs all messages takes a column, which costs no object per message.
    A column holds for the moment: it must not be kept over a call that may change the snapshot.
    """

    @property
    @abstractmethod
    def uids(self) -> Sequence[int]:
        """The UIDs, ascending (`bisect` works on them).  The same for all sessions where the store can do it."""

    @abstractmethod
    def position(self, uid: int) -> int | None:
        """Where the message with this UID stands; None where there is none."""

    def rank(self, uid: int) -> int:
        """How many messages have a lower UID."""
        return bisect_left(self.uids, uid)

    @abstractmethod
    def counts(self) -> Counts:
        """The counts; cheap."""

    @abstractmethod
    def marks(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        """For each of the messages [start, stop) a number for its flags, keywords and recency together.

        The lowest five bits are the system flags.  Equal marks mean equal flags, so that a text is made once for each
        mark (see `meaning`); there are few different ones in any mailbox.
        """

    @abstractmethod
    def meaning(self, mark: int) -> Flags:
        """What a mark of this snapshot stands for."""

    @abstractmethod
    def modseqs(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        """The modification sequences of the messages [start, stop)."""

    @abstractmethod
    def sizes(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        """The sizes on the wire of the messages [start, stop); -1 where only `Mailbox.size` can tell."""

    @abstractmethod
    def dates(self, start: int = 0, stop: int | None = None) -> Sequence[float]:
        """The internal dates of the messages [start, stop); -1 where only `Mailbox.internal_date` can tell."""

    def recent(self) -> int:
        """How many messages are recent."""
        return self.counts().recent


@dataclass(frozen=True, slots=True)
class FlagsSet:
    """What `set_flags` did."""

    states: tuple[MessageState, ...]
    """The state of every message that still exists and was not passed over, ascending by UID."""
    modified: tuple[int, ...] = ()
    """UIDs passed over because they changed after `unchanged_since` (MODIFIED of RFC 7162), ascending."""


@dataclass(frozen=True, slots=True)
class Since:
    """What changed after a modification sequence (RFC 7162 section 3.2.5)."""

    changed: tuple[MessageState, ...]
    """Messages of the snapshot that came or changed, ascending by UID."""
    vanished: tuple[tuple[int, int], ...]
    """Ranges of UIDs, first and last, ascending, that are not in the snapshot.

    None that was there is missing; it may name UIDs that never were, or that went before.
    """


@dataclass(frozen=True, slots=True)
class Changes:
    """What `refresh` found.  Apply `expunged` first, then `changed`, then append `new`."""

    expunged: tuple[int, ...] = ()
    """UIDs that went away, ascending."""
    changed: tuple[MessageState, ...] = ()
    """Messages whose flags or keywords differ."""
    new: tuple[MessageState, ...] = ()
    """Messages that appeared, ascending by UID, all above every UID seen before."""
    uid_validity_changed: bool = False
    """The mailbox was replaced: the view is useless, the session must reselect it."""

    def __bool__(self) -> bool:
        return bool(self.expunged or self.changed or self.new or self.uid_validity_changed)


@dataclass(frozen=True, slots=True)
class MailboxEntry:
    """One row of LIST."""

    name: str
    selectable: bool = True
    """False for a level that exists only because it has children (\\NonExistent, \\Noselect)."""
    has_children: bool = False
    subscribed: bool = False


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """Counts of a mailbox that need not be opened (STATUS, RFC 9051 section 6.3.11)."""

    messages: int
    recent: int
    unseen: int
    deleted: int
    uid_next: int
    uid_validity: int
    highest_modseq: int = 0
    size: int = -1
    """Sum of sizes in octets, -1 unless asked for."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an appended message went (APPENDUID)."""

    uid_validity: int
    uid: int


@dataclass(frozen=True, slots=True)
class Copied:
    """Which messages arrived where (COPYUID): `source_uids[i]` became `uids[i]`.  Vanished messages are left out."""

    uid_validity: int
    source_uids: tuple[int, ...]
    uids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class QuotaRoot:
    """What limits some mailboxes together (RFC 9208), octets as they are stored; a limit of 0: none of that kind."""

    name: str
    size: int
    size_limit: int
    messages: int
    messages_limit: int


FlagChange = Literal["add", "remove", "replace"]

NoteKind = Literal["acl", "metadata", "subscriptions", "urlauth"]
"""What is noted beside a mailbox: its access list (`acl`), its annotations (`metadata`), its access keys (`urlauth`);
of the account, the subscriptions to mailboxes of others and its part of the keys."""


class MessageContent(ABC):
    """An open message: bytes with CRLF line ends, however the file holds them.  Valid until `close`.

    Stays readable after another process expunges the message.  Sequential partial reads are cheap on one object;
    keep it open while a client fetches part after part.
    """

    size: int
    """Octets of the whole message with CRLF line ends."""

    @abstractmethod
    def header(self, limit: int = 1 << 20) -> bytes:
        """The header with its closing empty line, at most about `limit` octets (cut at a line end); kept once read."""

    @abstractmethod
    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Octets [start, start+length) in pieces of at most 128 KiB; `None` means to the end."""

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """As `chunks`, in one piece: for small parts only."""
        return b"".join(self.chunks(start, length))

    @abstractmethod
    def close(self) -> None:
        """Release the file.  Harmless when repeated."""

    def __enter__(self) -> MessageContent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MessageCache(ABC):
    """What was once worked out of messages whose content never changes (envelope, structure, digest), by UID.

    It may forget anything at any time, and never raises.
    """

    @abstractmethod
    def get(self, field: str, uid: int) -> bytes | None:
        """The value put in last, if it is still known."""

    @abstractmethod
    def put(self, field: str, uid: int, value: bytes) -> None:
        """Remember a value."""

    def get_many(self, field: str, uids: Sequence[int]) -> Sequence[bytes | None]:
        """The values for all of these UIDs."""
        return [self.get(field, uid) for uid in uids]

    def missed(self, field: str, uid: int) -> bool:
        """Whether it was among those that `get_many` was just asked for and did not find."""
        return False

    def carry(self, place: str, uid_validity: int, uids: Sequence[int], new: Sequence[int]) -> None:
        """Messages were copied: put what is known of `uids` into the cache of their new mailbox, where they are `new`.

        `place` is where that one keeps it, `uid_validity` that mailbox's.
        """
        return

    def flush(self) -> None:
        """Let other programs have what was put."""
        return

    def close(self) -> None:
        """Keep what is to be kept."""
        return


class Mailbox(ABC):
    """An open mailbox: a snapshot that `refresh` brings up to date."""

    name: str
    read_only: bool
    uid_validity: int
    uid_next: int
    """The next UID as of this snapshot."""
    highest_modseq: int
    """HIGHESTMODSEQ (RFC 7162): every change up to it is in this snapshot; 0 where the store keeps none.

    A change of this object's own may have a higher one, while changes by others before it are not taken in yet.
    """
    rights: str = ALL_RIGHTS
    """What this session may do here (RFC 4314 section 2.1); the owner of a mailbox may do everything."""
    messages: Snapshot
    """The snapshot, ascending by UID.  Replaced or changed only by this object's own calls; do not alter."""
    cache: MessageCache
    """What was worked out of the messages before."""

    @property
    def mailbox_id(self) -> str:
        """MAILBOXID (RFC 8474 section 4): stays when the mailbox is renamed."""
        return id_of(self.uid_validity)

    @property
    @abstractmethod
    def keywords(self) -> tuple[str, ...]:
        """Keywords known in this mailbox (for FLAGS)."""

    @property
    @abstractmethod
    def accepts_new_keywords(self) -> bool:
        """Whether `set_flags` can still store a keyword that is not in `keywords` (`\\*` in PERMANENTFLAGS)."""

    @abstractmethod
    def refresh(self) -> Changes:
        """Bring the snapshot up to date with what other programs did.  Cheap (two stat calls) when nothing changed."""

    @abstractmethod
    def watch_paths(self) -> tuple[str, ...]:
        """Files and directories whose change means that `refresh` may find something (for inotify in IDLE)."""

    def watch_fd(self) -> int | None:
        """A descriptor that becomes readable when `refresh` may find something; None where `watch_paths` tells.

        It is the mailbox's; who waits for it reads it empty (8 octets, once).
        """
        return None

    @abstractmethod
    def size(self, uid: int) -> int:
        """RFC822.SIZE.  Raises MessageGone."""

    @abstractmethod
    def internal_date(self, uid: int) -> float:
        """INTERNALDATE, seconds since the epoch.  Raises MessageGone."""

    @abstractmethod
    def read(self, uid: int) -> MessageContent:
        """Open the message.  Raises MessageGone."""

    def read_whole(self, uids: Sequence[int], most: int) -> Iterator[Sequence[bytes] | None]:
        """Messages as they are on the wire, ascending, each in pieces and read when it is asked for.

        None for one of more than `most` octets, and for one that only `read` can get or tell what became of it.
        """
        return repeat(None, len(uids))

    def header(self, uid: int) -> bytes | None:
        """The header, as `MessageContent.header` gives it; None where it costs no less to open the message.

        Raises MessageGone, StoreUnavailable.
        """
        return None

    @abstractmethod
    def pop3_uidl(self, uid: int) -> str:
        """The POP3 unique-id, 1 to 70 printable characters; kept from a former server where its files say so."""

    @abstractmethod
    def set_flags(
        self,
        uids: Collection[int],
        change: FlagChange,
        flags: int,
        keywords: Collection[str] = NO_KEYWORDS,
        *,
        unchanged_since: int | None = None,
    ) -> FlagsSet:
        """Change flags; give the resulting state of every message among `uids` that still exists.

        Keywords that the store cannot keep are left out of the result.  A message whose modification sequence is
        higher than `unchanged_since` stays as it is.  Raises NotPossible on a read-only view.
        """

    def changed_since(self, modseq: int) -> Since:
        """What is in this snapshot, or is no longer, that a client does not know whose last MODSEQ was `modseq`."""
        uids = self.messages.uids
        gaps = []
        expected = 1
        for uid in uids:
            if uid > expected:
                gaps.append((expected, uid - 1))
            expected = uid + 1
        if expected < self.uid_next:
            gaps.append((expected, self.uid_next - 1))
        return Since(tuple(state for state in self.messages if state.modseq > modseq or not state.modseq), tuple(gaps))

    def save_date(self, uid: int) -> float | None:
        """SAVEDATE (RFC 8514): when the message came into this mailbox, None if unknown.  Raises MessageGone."""
        return None

    def email_id(self, uid: int) -> str:
        """EMAILID (RFC 8474 section 5.1): the same for the same content.  Raises MessageGone."""
        known = self.cache.get(EMAIL_ID, uid)
        if known is None:
            digest = hashlib.blake2b(digest_size=16)
            with self.read(uid) as content:
                for piece in content.chunks():
                    digest.update(piece)
            known = digest.hexdigest().encode("ascii")
            self.cache.put(EMAIL_ID, uid, known)
        return known.decode("ascii")

    @property
    def text_place(self) -> str | None:
        """The file of the full-text index (`lib.store.text`); None where the store has no place for one."""
        return None

    def text_candidates(self, needle: str, fields: Collection[str]) -> Collection[int] | None:
        """UIDs among which all are that have `needle` in one of `fields`; None where only a look at each can tell.

        The needle is folded (`lib.store.text.fold`); the fields are TEXT_BODY and TEXT_HEADER.
        """
        from pillarbox.lib.store.text.file import candidates

        place = self.text_place
        if place is None:
            return None
        uids = self.messages.uids
        return candidates(
            place, self.uid_validity, uids, needle, body=TEXT_BODY in fields, header=TEXT_HEADER in fields
        )

    @abstractmethod
    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        """Remove these messages for good; give the UIDs that went by this, ascending, which are not those that somebody
        else had removed already.  All of them leave this snapshot.

        The caller chooses the messages, normally those with `DELETED`.  Raises NotPossible on a read-only view.
        """

    @abstractmethod
    def copy(self, uids: Collection[int], destination: str) -> Copied:
        """Copy messages with flags, keywords and date, all or none.  Raises MailboxNotFound, OverQuota."""

    @abstractmethod
    def move(self, uids: Collection[int], destination: str) -> Copied:
        """Move messages (RFC 6851); they leave this snapshot at once.  At no moment is a message in neither mailbox."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held.  Expunges nothing.  Harmless when repeated."""

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Appender(ABC):
    """A message on its way into a mailbox, invisible until `commit`.

    `write` as often as wanted, in pieces of any size, CRLF or LF line ends (kept as LF, or as the store has it).
    """

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Add content.  Raises OverQuota or StoreUnavailable; `abort` remains the caller's duty."""

    def sync(self, internal_date: float | None = None) -> None:
        """Have the disk take what was written, so that `commit`, with the same date, need not wait for it.

        May be called in another thread.  Raises OverQuota or StoreUnavailable.
        """
        return

    @abstractmethod
    def commit(
        self, flags: int = 0, keywords: Collection[str] = NO_KEYWORDS, internal_date: float | None = None
    ) -> Appended:
        """Make it durable and visible; `internal_date` defaults to now.  After an error nothing was stored."""

    @abstractmethod
    def abort(self) -> None:
        """Throw it away.  Harmless after `commit`."""


class Store(ABC):
    """All mailboxes of one account."""

    location: str

    @property
    def scratch_directory(self) -> str | None:
        """Where a file without a name may be while a message is worked on; None where the store has no directory."""
        return None

    @abstractmethod
    def list(self) -> list[MailboxEntry]:
        """Every mailbox, INBOX first, then by name; INBOX is always there."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the mailbox can be opened."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Create a mailbox and the levels above it.  Raises MailboxExists, BadMailboxName."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a mailbox with its messages; its children stay.  Raises MailboxNotFound, NotPossible (INBOX)."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Rename a mailbox and its children; INBOX moves its messages and stays (RFC 9051 section 6.3.6)."""

    @abstractmethod
    def subscriptions(self) -> tuple[str, ...]:
        """Subscribed names, also of mailboxes that no longer exist."""

    @abstractmethod
    def subscribe(self, name: str, wanted: bool) -> None:
        """Add or remove a subscription; the mailbox need not exist.  Raises BadMailboxName."""

    @abstractmethod
    def open(self, name: str, read_only: bool = False) -> Mailbox:
        """Open a mailbox.  Raises MailboxNotFound, NotPossible (not selectable), MailboxBusy, StoreUnavailable."""

    @abstractmethod
    def status(self, name: str, with_size: bool = False) -> MailboxStatus:
        """Counts without opening.  Raises MailboxNotFound."""

    @abstractmethod
    def begin_append(self, name: str) -> Appender:
        """Start to store a message.  Raises MailboxNotFound, NotPossible."""

    def append(
        self,
        name: str,
        content: Iterable[bytes],
        flags: int = 0,
        keywords: Collection[str] = NO_KEYWORDS,
        internal_date: float | None = None,
    ) -> Appended:
        """Store a message given as pieces: `begin_append`, `write`, `commit`."""
        appender = self.begin_append(name)
        try:
            for piece in content:
                appender.write(piece)
            return appender.commit(flags, keywords, internal_date)
        finally:
            appender.abort()

    def deliver(self, batch: Sequence[Delivery]) -> Outcomes:
        """Store each message; the result at the same index is None for stored and durable, else why not."""
        return deliver_each(self, batch)

    def restoring(self, name: str, identity: Identity, token: int | None = None) -> Restoring:
        """Begin to fill a mailbox that has no messages under given UIDs (`keeping`), or go on with what was begun.

        Raises NotPossible where it has messages, or where it is not the one any more that has this `token`.
        """
        raise NotPossible("this store gives UIDs itself")

    def leave_out_uids(self, name: str, number: int) -> None:
        """Give the next UIDs, so many, to nobody: they may have been given before the mailbox was put back from a
        backup.  Raises StoreError.
        """
        raise NotPossible("this store gives UIDs itself")

    def check(self, *, mend: bool) -> Iterator[Finding]:
        """Look for damage beside the messages themselves, and mend what can be mended without changing a UID.

        Raises StoreError, OSError.
        """
        return iter(())

    def take_back(self, name: str, uids: Collection[int]) -> None:
        """Remove messages that this session has just stored, since others that belong to them could not be.

        No right but that to store them is asked for.  Raises StoreError.
        """
        with self.open(name) as mailbox:
            mailbox.expunge(uids)

    def holds(self, name: str, uid_validity: int) -> bool:
        """Whether the mailbox of this name, which was opened with this UIDVALIDITY, is still that one: another may have
        taken its name.  True where open mailboxes tell that themselves, by `Changes.uid_validity_changed`.
        """
        return True

    def transfer(self, mailbox: Mailbox, uids: Collection[int], destination: str, *, move: bool) -> Copied:
        """`mailbox.copy` or `mailbox.move`, for an open mailbox of this store, to any mailbox that this store names."""
        return mailbox.move(uids, destination) if move else mailbox.copy(uids, destination)

    def quota_roots(self, name: str) -> tuple[QuotaRoot, ...]:
        """What limits the mailbox, or for "" the account; nothing where there is no quota.  Raises StoreError."""
        return ()

    def lacks(self, name: str, size: int) -> str:
        """Why a message of so many octets finds no room in the mailbox, which need not exist; "" where it does, or
        nobody can tell.  Raises StoreError."""
        return ""

    def quota_root(self, name: str) -> QuotaRoot | None:
        """The quota root of this name.  Raises StoreError."""
        return next((root for root in self.quota_roots("") if root.name == name), None)

    def rights(self, name: str) -> str:
        """What this session may do with the mailbox (RFC 4314 section 2.1).  Raises MailboxNotFound."""
        if not self.exists(name):
            raise MailboxNotFound(f'no mailbox "{name}"')
        return ALL_RIGHTS

    def acl(self, name: str) -> dict[str, str]:
        """The access list of a mailbox: rights by identifier, without the owner's.  Raises MailboxNotFound,
        NoPermission."""
        if not self.exists(name):
            raise MailboxNotFound(f'no mailbox "{name}"')
        return {}

    def set_acl(self, name: str, identifier: str, sign: str, rights: str) -> None:
        """Replace ("" as `sign`), extend (+) or reduce (-) the rights of an identifier; one that has none goes.

        Raises MailboxNotFound, NoPermission, NotPossible (with the reason) and the errors of `lib.store.acl`.
        """
        raise NotPossible("the mailboxes of this account cannot be shared: they belong to its own user")

    def namespaces(self) -> tuple[str, str]:
        """Where other users' mailboxes and the public ones stand, with a delimiter at the end; "" where there are none
        (RFC 2342)."""
        return "", ""

    def annotator(self, name: str) -> str:
        """Whose private annotations of the mailbox this session's are: "" for its owner's."""
        return ""

    def note(self, name: str, kind: NoteKind) -> bytes:
        """What is noted beside a mailbox, `b""` for nothing; the name "" means the account as a whole.

        A note goes with its mailbox: it is renamed with it, and gone when that is deleted.  Raises MailboxNotFound.
        """
        return b""

    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        """Replace a note by what `change` makes of it, with no other change in between; `b""` removes it.

        Durable on return.  What `change` raises goes through.  Raises MailboxNotFound, NotPossible.
        """
        raise NotPossible("this store keeps nothing beside its mailboxes")

    @abstractmethod
    def session_lock(self, name: str) -> AbstractContextManager[None]:
        """POP3's exclusive lock (RFC 1939 section 4): hold while the session lasts.

        Raises MailboxBusy at once if another session has it.  Delivery and IMAP sessions are not kept out.
        """

    def watch_paths(self, name: str = "", *, notes: bool = False) -> tuple[str, ...]:
        """Files and directories in which something changes when the mailbox does, with `notes` also what stands beside
        it; without a name, when mailboxes or subscriptions come, go or are renamed.

        Empty where only looking again tells.  Raises MailboxNotFound.
        """
        return ()

    @abstractmethod
    def close(self) -> None:
        """Release what is held."""
