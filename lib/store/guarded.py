"""An open mailbox of somebody else: what its access list does not grant is refused (RFC 4314 section 4).

Rights are looked at anew with each `refresh`, before each change and, where a second has gone by, before anything is
read, so that one who loses them loses them in the session that is open.  What the interface may get one day is refused
here until somebody has thought about it: `READS` names what passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.store.acl import settable
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Appended,
    Appender,
    Changes,
    Copied,
    FlagChange,
    FlagsSet,
    Mailbox,
    MailboxNotFound,
    MessageContent,
    NoPermission,
    Snapshot,
)

READS: Final = frozenset(
    {
        "cache",
        "changed_since",
        "close",
        "email_id",
        "highest_modseq",
        "internal_date",
        "keywords",
        "mailbox_id",
        "pop3_uidl",
        "read_only",
        "save_date",
        "size",
        "text_candidates",
        "uid_next",
        "uid_validity",
        "watch_fd",
        "watch_paths",
    }
)
"""What of `Mailbox` tells without changing anything but what is derived from the messages."""

RECHECK: Final = 1.0
"""Seconds for which rights to read are believed."""

Transfer = Callable[[Mailbox, Collection[int], str, bool], Copied]


class GuardedMailbox(Mailbox):
    """`inner`, under the name by which this session knows it; `look` gives the rights as they are now."""

    if not TYPE_CHECKING:
        __slots__ = ("_look", "_looked", "_transfer", "inner", "name", "rights")

    def __init__(self, name: str, inner: Mailbox, look: Callable[[], str], transfer: Transfer) -> None:
        self.name = name
        self.inner = inner
        self._look = look
        self._transfer = transfer
        self._looked = time.monotonic()
        self.rights = look()

    def _look_again(self) -> None:
        self._looked = time.monotonic()
        try:
            self.rights = self._look()
        except MailboxNotFound:
            self.rights = ""

    def _messages(self) -> Snapshot:
        if time.monotonic() - self._looked > RECHECK:
            self._look_again()
        if "r" not in self.rights:
            raise NoPermission("you may not read in this mailbox")
        return self.inner.messages

    def _may(self, needed: str, what: str) -> None:
        """Raises NoPermission."""
        self._look_again()
        if not set(needed) <= set(self.rights):
            raise NoPermission(f"you may not {what} in this mailbox")

    @property
    def accepts_new_keywords(self) -> bool:
        return "w" in self.rights and self.inner.accepts_new_keywords

    @property
    def text_place(self) -> str | None:
        return None  # the index is the owner's to make

    def text_candidates(self, needle: str, fields: Collection[str]) -> Collection[int] | None:
        return self.inner.text_candidates(needle, fields)

    def refresh(self) -> Changes:
        self._look_again()
        # Who may no longer read hears no more of it, and is refused whatever is asked.
        return self.inner.refresh() if "r" in self.rights else Changes()

    def read(self, uid: int) -> MessageContent:
        if "r" not in self.rights:
            raise NoPermission("you may not read in this mailbox")
        return self.inner.read(uid)

    def header(self, uid: int) -> bytes | None:
        if "r" not in self.rights:
            raise NoPermission("you may not read in this mailbox")
        return self.inner.header(uid)

    def read_whole(self, uids: Sequence[int], most: int) -> Iterator[Sequence[bytes] | None]:
        if "r" not in self.rights:
            raise NoPermission("you may not read in this mailbox")
        return self.inner.read_whole(uids, most)

    def set_flags(
        self,
        uids: Collection[int],
        change: FlagChange,
        flags: int,
        keywords: Collection[str] = NO_KEYWORDS,
        *,
        unchanged_since: int | None = None,
    ) -> FlagsSet:
        """As far as rights go: what may not be changed stays; only where nothing may be is it refused (section 4)."""
        self._may("", "change flags")
        allowed, words = settable(self.rights), "w" in self.rights
        own, others = flags & allowed, frozenset(keywords) if words else NO_KEYWORDS
        if not allowed or (change != "replace" and (flags or keywords) and not (own or others)):
            raise NoPermission("you may not change these flags in this mailbox")
        if change != "replace" or (words and allowed == settable("stw")):
            return self.inner.set_flags(uids, change, own, others, unchanged_since=unchanged_since)
        # What may be set is set, and what may be taken away and is not wanted is taken away; the rest stays.
        first = self.inner.set_flags(uids, "add", own, others, unchanged_since=unchanged_since)
        unwanted = frozenset(self.inner.keywords) - others if words else NO_KEYWORDS
        last = self.inner.set_flags([state.uid for state in first.states], "remove", allowed & ~own, unwanted)
        return FlagsSet(last.states, first.modified)

    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        self._may("e", "expunge messages")
        return self.inner.expunge(uids)

    def copy(self, uids: Collection[int], destination: str) -> Copied:
        self._may("r", "read")
        return self._transfer(self, uids, destination, False)

    def move(self, uids: Collection[int], destination: str) -> Copied:
        self._may("rte", "remove messages")  # RFC 6851 section 4
        return self._transfer(self, uids, destination, True)


def _passed(name: str) -> property:
    def get(self: GuardedMailbox) -> Any:
        return getattr(self.inner, name)

    return property(get)


def _refused(name: str) -> property:
    def get(self: GuardedMailbox) -> Any:
        raise NoPermission(f"{name} is not possible in mailboxes of others")

    return property(get)


MEMBERS: Final = frozenset(name for name in {*dir(Mailbox), *Mailbox.__annotations__} if not name.startswith("_"))
"""All that `Mailbox` has."""
setattr(GuardedMailbox, "messages", property(GuardedMailbox._messages))  # noqa: B010 (an attribute in the interface)
for _name in MEMBERS - vars(GuardedMailbox).keys():
    setattr(GuardedMailbox, _name, _passed(_name) if _name in READS else _refused(_name))
GuardedMailbox.__abstractmethods__ = frozenset()


def guarded(name: str, inner: Mailbox, look: Callable[[], str], transfer: Transfer) -> Mailbox:
    """A `GuardedMailbox`; what is abstract in it is filled in above, where no type checker sees it."""
    return GuardedMailbox(name, inner, look, transfer)  # type: ignore[abstract]


class GuardedAppender(Appender):
    """A message on its way into somebody else's mailbox: flags that may not be set there are left out."""

    def __init__(self, inner: Appender, rights: str) -> None:
        self._inner = inner
        self._rights = rights

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    def sync(self, internal_date: float | None = None) -> None:
        self._inner.sync(internal_date)

    def commit(
        self, flags: int = 0, keywords: Collection[str] = NO_KEYWORDS, internal_date: float | None = None
    ) -> Appended:
        kept = keywords if "w" in self._rights else NO_KEYWORDS
        return self._inner.commit(flags & settable(self._rights), kept, internal_date)

    def abort(self) -> None:
        self._inner.abort()
