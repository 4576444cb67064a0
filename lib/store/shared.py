"""The mailboxes that one user may use: its own, those that others share with it, and the public ones of its domain.

    INBOX, Work/2026                              its own, without a prefix
    Other Users/ann@example.org/Sales             another account's
    Public/Announcements                          in `VIRTUAL_MAILBOX_BASE/DOMAIN/.public`

A `Store` over stores, chosen by the beginning of a name; what is no beginning known here is the user's own.  For
others' mailboxes each call first looks at the access list (`acl`); a mailbox whose existence the user may not know
(no right `l`) answers as one that is not there.  The owner of a mailbox may do everything with it.

Works where all of these belong to the user that this process runs as: hosted accounts of `vmail_owner`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Final

from pillarbox.lib.store import acl, patience
from pillarbox.lib.store.acl import Viewer
from pillarbox.lib.store.carrying import carry
from pillarbox.lib.store.guarded import GuardedAppender, GuardedMailbox, guarded
from pillarbox.lib.store.interface import (
    ALL_RIGHTS,
    DELIMITER,
    INBOX,
    Appender,
    BadMailboxName,
    Copied,
    Mailbox,
    MailboxEntry,
    MailboxNotFound,
    MailboxStatus,
    NoPermission,
    NoteKind,
    NotPossible,
    QuotaRoot,
    Store,
    StoreError,
)
from pillarbox.lib.store.sharing import Sharing

OTHERS: Final = "Other Users"
PUBLIC: Final = "Public"
_SUBSCRIPTIONS: Final[NoteKind] = "subscriptions"
_NOTE_RIGHTS: Final[dict[NoteKind, str]] = {
    "acl": "a",
    "metadata": "lr",
    "subscriptions": "a",
    "urlauth": "lr",
}
"""What it takes to see what stands beside another's mailbox (RFC 4314 section 4, RFC 5464 section 3.3)."""
SUBSCRIPTION_LIMIT: Final = 10000
"""Mailboxes of others that one user is subscribed to."""

OpenStore = Callable[[str, bool], Store]
"""Opens the store at a location; True for that of an account, False for the public mailboxes."""


class NotThere(StoreError):
    """No such mailbox, and this user may not make one of that name: there is nothing to try (RFC 4314 section 4)."""

    response_code = "NONEXISTENT"


@dataclass(frozen=True, slots=True)
class Share:
    """Mailboxes of one other owner."""

    prefix: str
    store: Store
    domain: str
    owner: str
    """The address; "" for the public ones, which nobody owns."""
    location: str
    all_rights: bool = False
    """The user administers them."""

    def outer(self, inner: str) -> str:
        """The name by which the user knows a mailbox."""
        return f"{self.prefix}{DELIMITER}{inner}"


class SharedStore(Store):
    """See the module."""

    def __init__(
        self, personal: Store, viewer: Viewer, sharing: Sharing, open_store: OpenStore, *, public_admin: bool = False
    ) -> None:
        self.location = personal.location
        self.personal = personal
        self._viewer = viewer
        self._sharing = sharing
        self._open = open_store
        self._public_admin = public_admin
        self._stores: dict[str, Share] = {}
        sharing.moved(viewer.address, personal.location)

    @property
    def scratch_directory(self) -> str | None:
        return self.personal.scratch_directory

    # --- whose a mailbox is

    def _share(self, name: str) -> tuple[Share, str] | None:
        """Whose a mailbox is and how its owner calls it; None for one of the user's own.  Raises NotThere."""
        head, _, rest = name.partition(DELIMITER)
        if head == PUBLIC and (public := self._public()) is not None:
            return public, _as_listed(rest)
        if head != OTHERS:
            return None
        owner, _, inner = rest.partition(DELIMITER)
        share = self._other(owner)
        if share is None:
            raise NotThere(f'no mailbox "{name}"')
        return share, _as_listed(inner)

    def _other(self, owner: str) -> Share | None:
        location = self._sharing.location(self._viewer, owner) if owner else ""
        known = self._stores.get(owner)
        if not location:
            return None
        if known is None or known.location != location:
            if known is not None:
                known.store.close()
            domain = owner.rpartition("@")[2]
            known = Share(f"{OTHERS}{DELIMITER}{owner}", self._open(location, True), domain, owner, location)
            self._stores[owner] = known
        return known

    def _public(self) -> Share | None:
        known = self._stores.get("")
        if known is None:
            place = self._sharing.public_place(self._viewer.domain)
            if not place or not (self._public_admin or self._sharing.has_public(self._viewer.domain)):
                return None
            location = f"maildir:{place}"
            store = self._open(location, False)
            known = self._stores[""] = Share(PUBLIC, store, self._viewer.domain, "", location, self._public_admin)
        return known

    # --- what may be done

    def _rights(self, share: Share, inner: str) -> str:
        """What the user may do with an existing mailbox.  Raises MailboxNotFound."""
        try:
            if not inner or not share.store.exists(inner):
                raise MailboxNotFound("")
            note = share.store.note(inner, "acl")
        except (BadMailboxName, NotPossible) as error:
            raise MailboxNotFound("") from error
        if share.all_rights:
            return ALL_RIGHTS
        return acl.rights_of(acl.parse(note), self._viewer, share.domain)

    def _need(self, share: Share, inner: str, needed: str) -> str:
        """The rights, which must contain those that are needed.

        Raises NoPermission where the user may know of the mailbox, else MailboxNotFound or NotThere.
        """
        try:
            rights = self._rights(share, inner)
        except MailboxNotFound:
            rights = ""
        if rights and set(needed) <= set(rights):
            return rights
        name = share.outer(inner)
        if "l" in rights:
            raise NoPermission(f'the owner of "{name}" does not let you do this')
        if self._may_create(share, inner):
            raise MailboxNotFound(f'no mailbox "{name}"')
        raise NotThere(f'no mailbox "{name}"')

    def _parent(self, share: Share, inner: str) -> tuple[str, str]:
        """The nearest mailbox above, and what the user may do with it; "" where there is none."""
        parent = inner.rpartition(DELIMITER)[0]
        while parent:
            try:
                return parent, self._rights(share, parent)
            except MailboxNotFound:
                parent = parent.rpartition(DELIMITER)[0]
        return "", ALL_RIGHTS if share.all_rights else ""

    def _may_create(self, share: Share, inner: str) -> bool:
        return bool(inner) and "k" in self._parent(share, inner)[1]

    def _must_create(self, share: Share, inner: str) -> str:
        """The nearest mailbox above one that is to be made.  Raises NoPermission."""
        parent, rights = self._parent(share, inner)
        if not inner or "k" not in rights:
            raise NoPermission(f'you may not create "{share.outer(inner)}"')
        return parent

    def rights(self, name: str) -> str:
        found = self._share(name)
        if found is None:
            return self.personal.rights(name)
        share, inner = found
        rights = self._need(share, inner, "")
        if not set(rights) & set("lrikxa"):
            raise NotThere(f'no mailbox "{name}"')
        return rights

    def acl(self, name: str) -> dict[str, str]:
        found = self._share(name)
        if found is None:
            return acl.parse(self.personal.note(name, "acl"))
        share, inner = found
        self._need(share, inner, "a")
        entries = acl.parse(share.store.note(inner, "acl"))
        return {share.owner: ALL_RIGHTS, **entries} if share.owner else entries

    def set_acl(self, name: str, identifier: str, sign: str, rights: str) -> None:
        found = self._share(name)
        own = Share("", self.personal, self._viewer.domain, self._viewer.address, self.location)
        share, inner = found or (own, name)
        if found is not None:
            self._need(share, inner, "a")
        who = acl.identifier(identifier, share.domain)
        if who.removeprefix("-") == share.owner:
            raise NotPossible("the owner of a mailbox has all rights, and keeps them")
        share.store.change_note(
            inner, "acl", lambda note: acl.serialize(acl.changed(acl.parse(note), who, sign, rights))
        )
        self._index(share)

    def _index(self, share: Share) -> None:
        """Note whom the owner's access lists name now."""
        if not share.owner:
            return

        def identifiers() -> set[str]:
            names: set[str] = set()
            for entry in share.store.list():
                if entry.selectable:
                    with suppress(StoreError):
                        names.update(acl.parse(share.store.note(entry.name, "acl")))
            return names

        self._sharing.update(share.owner, share.location, identifiers)

    def namespaces(self) -> tuple[str, str]:
        return f"{OTHERS}{DELIMITER}", f"{PUBLIC}{DELIMITER}" if self._public() is not None else ""

    def annotator(self, name: str) -> str:
        return self._viewer.address if name and self._share(name) is not None else ""

    # --- the tree

    def list(self) -> list[MailboxEntry]:
        own = self.personal.list()
        shares: list[Share] = []
        for owner in self._sharing.owners(self._viewer):
            # Whoever's mail cannot be reached now: no reason to keep the user from the rest.
            with suppress(StoreError):
                if (share := self._other(owner)) is not None:
                    shares.append(share)
        heads = {OTHERS}
        if (public := self._public()) is not None:
            shares.append(public)
            heads.add(PUBLIC)
        entries = {entry.name: entry for entry in own if entry.name.partition(DELIMITER)[0] not in heads}
        subscribed = frozenset(self._subscribed()) if shares else frozenset()
        for share in shares:
            for entry in self._shown(share, subscribed):
                entries.setdefault(entry.name, entry)
        return [*entries.values()]

    def _shown(self, share: Share, subscribed: Collection[str]) -> Iterator[MailboxEntry]:
        """The mailboxes of one owner that the user may know of, and the levels above them."""
        exist: set[str] = set()
        entries: list[MailboxEntry] = []
        with suppress(StoreError):
            entries = share.store.list()
        for entry in entries:
            if entry.selectable:
                with suppress(StoreError):
                    if "l" in self._rights(share, entry.name):
                        exist.add(share.outer(entry.name))
        levels: set[str] = set()
        for name in exist:
            parent = name.rpartition(DELIMITER)[0]
            while parent and parent not in levels:
                levels.add(parent)
                parent = parent.rpartition(DELIMITER)[0]
        for name in sorted(exist | levels):
            yield MailboxEntry(name, name in exist, name in levels, name in subscribed)

    def exists(self, name: str) -> bool:
        try:
            found = self._share(name)
            return self.personal.exists(name) if found is None else bool(set(self._rights(*found)) & set("lr"))
        except (MailboxNotFound, NotThere):
            return False

    def create(self, name: str) -> None:
        """As `Store.create`; a new mailbox has the access list of the one above it (RFC 4314 section 4)."""
        found = self._share(name)
        patience.give_way()
        if found is None:
            self.personal.create(name)
            self._inherit(self.personal, self._above(name), name)
        else:
            share, inner = found
            parent = self._must_create(share, inner)
            share.store.create(inner)
            self._inherit(share.store, parent, inner)

    def _above(self, name: str) -> str:
        parent = name.rpartition(DELIMITER)[0]
        while parent and not self.personal.exists(parent):
            parent = parent.rpartition(DELIMITER)[0]
        return parent

    def _inherit(self, store: Store, parent: str, name: str) -> None:
        note = store.note(parent, "acl") if parent else b""
        if note:
            store.change_note(name, "acl", lambda _: note)

    def delete(self, name: str) -> None:
        found = self._share(name)
        if found is None:
            self.personal.delete(name)
        else:
            share, inner = found
            self._need(share, inner, "x")
            share.store.delete(inner)

    def rename(self, old: str, new: str) -> None:
        source, target = self._share(old), self._share(new)
        if source is None and target is None:
            self.personal.rename(old, new)
            return
        if source is None or target is None or source[0] is not target[0]:
            raise NotPossible("a mailbox cannot be moved from one owner to another; copy its messages")
        share, inner = source
        self._need(share, inner, "x")
        if inner.upper() == INBOX:
            raise NotPossible("INBOX of another cannot be renamed")
        for entry in share.store.list():  # what lies below goes too, also what the user may not see
            if (
                entry.selectable
                and entry.name.startswith(inner + DELIMITER)
                and "x" not in self._rights(share, entry.name)
            ):
                raise NoPermission("you may not rename a mailbox below this one")
        self._must_create(share, target[1])
        share.store.rename(inner, target[1])

    def _subscribed(self) -> tuple[str, ...]:
        return tuple(self.personal.note("", _SUBSCRIPTIONS).decode("utf-8", "replace").splitlines())

    def subscriptions(self) -> tuple[str, ...]:
        return (*self.personal.subscriptions(), *self._subscribed())

    def subscribe(self, name: str, wanted: bool) -> None:
        head = name.partition(DELIMITER)[0]
        if head != OTHERS and (head != PUBLIC or self._public() is None):
            self.personal.subscribe(name, wanted)
            return
        if wanted and (found := self._share(name)) is not None:
            self._need(*found, "l")

        def change(note: bytes) -> bytes:
            names = dict.fromkeys(note.decode("utf-8", "replace").splitlines())
            names.pop(name, None)
            if wanted:
                names[name] = None
            if len(names) > SUBSCRIPTION_LIMIT:
                raise NotPossible(f"more than {SUBSCRIPTION_LIMIT} subscriptions to mailboxes of others")
            return "".join(f"{each}\n" for each in names).encode("utf-8", "replace")

        self.personal.change_note("", _SUBSCRIPTIONS, change)

    # --- mailboxes

    def open(self, name: str, read_only: bool = False) -> Mailbox:
        found = self._share(name)
        if found is None:
            return self.personal.open(name, read_only)
        share, inner = found
        rights = self._need(share, inner, "r")
        # Section 5.2: read-write for whoever may change anything in it.
        mailbox = share.store.open(inner, read_only or not set(rights) & set("istwe"))

        def look() -> str:
            # The list of whatever has the name now says nothing of what is open.
            return self._rights(share, inner) if share.store.holds(inner, mailbox.uid_validity) else ""

        return guarded(name, mailbox, look, self._carry)

    def status(self, name: str, with_size: bool = False) -> MailboxStatus:
        found = self._share(name)
        if found is None:
            return self.personal.status(name, with_size)
        self._need(*found, "r")
        return found[0].store.status(found[1], with_size)

    def begin_append(self, name: str) -> Appender:
        found = self._share(name)
        if found is None:
            return self.personal.begin_append(name)
        share, inner = found
        rights = self._need(share, inner, "i")
        return GuardedAppender(share.store.begin_append(inner), rights)

    def holds(self, name: str, uid_validity: int) -> bool:
        found = self._share(name)
        store, inner = (self.personal, name) if found is None else (found[0].store, found[1])
        return store.holds(inner, uid_validity)

    def take_back(self, name: str, uids: Collection[int]) -> None:
        found = self._share(name)
        if found is None:
            self.personal.take_back(name, uids)
        else:
            found[0].store.take_back(found[1], uids)

    def transfer(self, mailbox: Mailbox, uids: Collection[int], destination: str, *, move: bool) -> Copied:
        if isinstance(mailbox, GuardedMailbox):
            return mailbox.move(uids, destination) if move else mailbox.copy(uids, destination)
        return self._carry(mailbox, uids, destination, move)

    def _carry(self, mailbox: Mailbox, uids: Collection[int], destination: str, move: bool) -> Copied:
        """Copy or move from a mailbox of which the user may read (and from which it may remove) messages."""
        source = self._share(mailbox.name)
        target = self._share(destination)
        inside = mailbox.inner if isinstance(mailbox, GuardedMailbox) else mailbox
        store, name, rights = self.personal, destination, ALL_RIGHTS
        if target is not None:
            store, name, rights = target[0].store, target[1], self._need(*target, "i")
        elif not self.personal.exists(destination):
            raise MailboxNotFound(f'no mailbox "{destination}"')
        same = (source[0].store if source is not None else self.personal) is store
        if same and set("stw") <= set(rights):
            return inside.move(uids, name) if move else inside.copy(uids, name)
        copied = carry(inside, uids, store, name, lambda appender: GuardedAppender(appender, rights))
        return self._without_source(inside, copied, store, name) if move else copied

    def _without_source(self, source: Mailbox, copied: Copied, store: Store, name: str) -> Copied:
        """Remove what was copied from where it was; a copy of what somebody else was quicker to take is taken back."""
        pairs = list(zip(copied.source_uids, copied.uids, strict=True))
        went: Collection[int] = ()
        try:
            went = source.expunge(copied.source_uids)
        except StoreError:
            went = [uid for uid, _ in pairs if not _is_there(source, uid)]
            raise
        finally:
            left = [new for old, new in pairs if old not in went]
            with suppress(StoreError):
                if left:
                    store.take_back(name, left)
        moved = [(old, new) for old, new in pairs if old in went]
        return Copied(copied.uid_validity, tuple(old for old, _ in moved), tuple(new for _, new in moved))

    def watch_paths(self, name: str = "", *, notes: bool = False) -> tuple[str, ...]:
        if not name:
            return self.personal.watch_paths()
        found = self._share(name)
        if found is None:
            return self.personal.watch_paths(name, notes=notes)
        self._need(*found, "lr")
        return found[0].store.watch_paths(found[1], notes=notes)

    def session_lock(self, name: str) -> AbstractContextManager[None]:
        if self._share(name) is not None:
            raise NotPossible("only the owner can lock a mailbox")
        return self.personal.session_lock(name)

    # --- what stands beside them

    def quota_roots(self, name: str) -> tuple[QuotaRoot, ...]:
        found = self._share(name) if name else None
        if found is None:
            return self.personal.quota_roots(name)
        share, inner = found
        self._need(share, inner, "r")
        return tuple(replace(root, name=f"{share.prefix}: {root.name}") for root in share.store.quota_roots(inner))

    def quota_root(self, name: str) -> QuotaRoot | None:
        prefix, colon, root_name = name.rpartition(": ")
        if not colon:
            return self.personal.quota_root(name)
        try:
            found = self._share(f"{prefix}{DELIMITER}")
        except NotThere:
            return None
        if found is None or found[0].prefix != prefix:
            return None
        share = found[0]
        for entry in share.store.list():
            with suppress(MailboxNotFound):
                if entry.selectable and "r" in self._rights(share, entry.name):
                    root = share.store.quota_root(root_name)
                    return replace(root, name=name) if root is not None else None
        return None

    def note(self, name: str, kind: NoteKind) -> bytes:
        found = self._share(name) if name else None
        if found is None:
            return self.personal.note(name, kind)
        self._need(*found, _NOTE_RIGHTS[kind])
        return found[0].store.note(found[1], kind)

    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        found = self._share(name) if name else None
        if found is None:
            self.personal.change_note(name, kind, change)
            return
        self._need(*found, _NOTE_RIGHTS[kind])
        found[0].store.change_note(found[1], kind, change)

    def close(self) -> None:
        self.personal.close()
        for share in self._stores.values():
            share.store.close()


def _is_there(mailbox: Mailbox, uid: int) -> bool:
    """Whether a message can be read."""
    try:
        with mailbox.read(uid):
            return True
    except StoreError:
        return False


def _as_listed(inner: str) -> str:
    """A name of another's mailbox as its store lists it: INBOX at its beginning has one spelling."""
    head, delimiter, rest = inner.partition(DELIMITER)
    return f"{INBOX}{delimiter}{rest}" if head.upper() == INBOX else inner
