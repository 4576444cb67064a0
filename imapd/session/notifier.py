"""Telling a client what happens in mailboxes, selected or not, while it says nothing (RFC 5465).

What the client knows of each mailbox is remembered; inotify says where to look, or a timer where it cannot, and what
differs is told.  So several changes are told as one, a change that was undone is not told, and there is no queue that
could grow.  What the session's own commands change is taken in silently.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from pillarbox.imapd.protocol import response
from pillarbox.imapd.session import events
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.events import NONE, Registration
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.store import metadata
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import MailboxBusy, MailboxEntry, MailboxStatus, StoreError

MAILBOX_LIMIT: Final = 500
"""Mailboxes that are watched for one client; each takes two or three of the kernel's watches."""
NAME_LIMIT: Final = 5000
"""Mailboxes whose coming and going is watched for one client."""

Fetch = Callable[[Session, int], Awaitable[None]]
"""Sends what the client wants to know of the new message at a position."""


class TooMuch(Exception):
    """More than can be watched for one client: NOTIFICATIONOVERFLOW."""


class _Known(NamedTuple):
    """A mailbox in the tree, as the client knows it."""

    entry: MailboxEntry
    subscribed: bool


class _Watched:
    """A mailbox whose messages or annotations are watched."""

    __slots__ = ("end", "events", "notes", "status")

    def __init__(self, wanted: frozenset[str]) -> None:
        self.events = wanted
        self.status: MailboxStatus | None = None
        self.notes: dict[str, bytes] = {}
        self.end: Callable[[], None] | None = None

    def close(self) -> None:
        """End the watching."""
        if self.end is not None:
            self.end()
            self.end = None


class Notifier:
    """The registration of one session; `wake` is called when there is something to `look` at."""

    def __init__(
        self,
        session: Session,
        registration: Registration,
        watcher: Watcher | None,
        wake: Callable[[], None],
        fetch: Fetch,
    ) -> None:
        self.registration = registration
        self.pending = False
        """`look` may find something."""
        self._session = session
        self._watcher = watcher
        self._wake = wake
        self._fetch = fetch
        self._tree: dict[str, _Known] = {}
        self._foreign: tuple[str, ...] = ()  # how the names of others' mailboxes begin
        self._validities: dict[str, int] = {}  # by which a renamed mailbox is known
        self._watched: dict[str, _Watched] = {}
        self._dirty: set[str] = set()
        self._tree_dirty = False
        self._selected_name = ""
        self._selected_dirty = False
        self._last_uid = 0  # of the selected mailbox: above it are messages whose items have not been sent
        self._server_notes: dict[str, bytes] = {}
        self._ends: list[Callable[[], None]] = []
        self._end_selected: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None

    # --- what is watched
    async def begin(self) -> list[str]:
        """Remember what there is; gives the mailboxes whose messages are watched.  Raises TooMuch, StoreError.

        Those that are in use are told of when they are free.
        """
        if not self.registration.groups:
            return []
        self._tree = self._read_tree()
        if self.registration.asks(events.SERVER_METADATA):
            self._server_notes = self._notes("")
        self._watch_tree()
        await self._choose()
        return [name for name, watched in self._watched.items() if watched.status is not None]

    def no_access(self) -> list[str]:
        """Mailboxes of the groups that the client may know of and not read."""
        found = []
        for name, known in self._tree.items():
            if known.entry.selectable and self._events(name, known) & events.MESSAGE_EVENTS:
                with suppress(StoreError):
                    if "r" not in self._session.store.rights(name):
                        found.append(name)
        return found

    def _read_tree(self) -> dict[str, _Known]:
        store = self._session.store
        subscribed = frozenset(store.subscriptions())
        tree = {entry.name: _Known(entry, entry.name in subscribed) for entry in store.list()}
        if len(tree) > NAME_LIMIT:
            raise TooMuch
        self._foreign = tuple(filter(None, store.namespaces()))
        return tree

    def _events(self, name: str, known: _Known) -> frozenset[str]:
        personal = not name.startswith(self._foreign)
        return self.registration.events(name, personal=personal, subscribed=known.subscribed)

    async def _choose(self) -> None:
        """Watch what the registration is about now, and no longer what it is not.  Raises TooMuch."""
        wanted = {}
        for name, known in self._tree.items():
            if known.entry.selectable:
                of_messages = self._events(name, known) & {*events.MESSAGE_EVENTS, events.MAILBOX_METADATA}
                if of_messages:
                    with suppress(StoreError):
                        if {"l", "r"} <= set(self._session.store.rights(name)):
                            wanted[name] = of_messages
        if len(wanted) > MAILBOX_LIMIT:
            raise TooMuch
        for name in self._watched.keys() - wanted.keys():
            self._watched.pop(name).close()
        for name, of_messages in wanted.items():
            if name not in self._watched:
                watched = self._watched[name] = _Watched(of_messages)
                try:
                    self._watch(name, watched)
                    await patiently(partial(self._take_in, name, watched))
                except MailboxBusy:
                    self._look_later(name)
                except StoreError:
                    self._watched.pop(name).close()
                await self._session.breathe()

    def _look_later(self, name: str) -> None:
        """The mailbox is in use: what there is to tell of it is told when it is free."""
        self._dirty.add(name)
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(self._session.check_interval, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self._stir()

    def _watch(self, name: str, watched: _Watched) -> None:
        paths = self._session.store.watch_paths(name, notes=events.MAILBOX_METADATA in watched.events)

        def changed() -> None:
            self._dirty.add(name)
            self._stir()

        watched.end = self._watcher.watch(paths, changed) if paths and self._watcher is not None else None
        if watched.end is None:
            self._look_at_intervals()

    def _watch_tree(self) -> None:
        paths = self._session.store.watch_paths()
        end = self._watcher.watch(paths, self._tree_changed) if paths and self._watcher is not None else None
        if end is not None:
            self._ends.append(end)
        if end is None or self._session.store.namespaces() != ("", ""):
            self._look_at_intervals()  # what others share is announced nowhere

    def _tree_changed(self) -> None:
        self._tree_dirty = True
        self._stir()

    def _stir(self) -> None:
        if not self.pending:
            self.pending = True
            self._wake()

    def _look_at_intervals(self) -> None:
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        interval = self._session.check_interval
        self._timer = asyncio.get_running_loop().call_later(interval, self._tick)

    def _tick(self) -> None:
        self._dirty.update(name for name, watched in self._watched.items() if watched.end is None)
        self._tree_dirty = True
        self._selected_dirty = self._selected_dirty or self._end_selected is None
        self._stir()
        self._set_timer()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._again is not None:
            self._again.cancel()
        for end in self._ends:
            end()
        for watched in self._watched.values():
            watched.close()
        if self._end_selected is not None:
            self._end_selected()

    def silent(self) -> Notifier:
        """One for the same session that tells nothing."""
        return Notifier(self._session, NONE, self._watcher, self._wake, self._fetch)

    # --- the selected mailbox
    def follow_selected(self) -> None:
        """Watch the mailbox that is selected now; what the client has seen of the former one it knows."""
        selected = self._session.selected
        name = selected.mailbox.name if selected is not None else ""
        if name == self._selected_name:
            return
        if self._end_selected is not None:
            self._end_selected()
            self._end_selected = None
        if (left := self._watched.get(self._selected_name)) is not None:
            with suppress(StoreError):
                self._take_in(self._selected_name, left)
        self._selected_name = name
        if selected is not None and self.registration.selected.wanted:
            self._last_uid = selected.uids[-1] if selected.uids else 0
            if self._watcher is not None:
                fd, paths = selected.mailbox.watch_fd(), selected.mailbox.watch_paths()
                if fd is not None:
                    self._end_selected = self._watcher.watch_fd(fd, self._selected_changed)
                elif paths:
                    self._end_selected = self._watcher.watch(paths, self._selected_changed)
            if self._end_selected is None:
                self._look_at_intervals()

    def _selected_changed(self) -> None:
        self._selected_dirty = True
        self._stir()

    async def arrived(self, *, own: bool = False) -> None:
        """Send what is wanted of the messages that the client has just been told of, unless they are its own."""
        selected = self._session.selected
        if selected is None or selected.mailbox.name != self._selected_name or not selected.uids:
            return
        if self.registration.selected.items and not own:
            for index in range(selected.count - 1, -1, -1):
                if selected.uids[index] <= self._last_uid:
                    break
            else:
                index = -1
            for new in range(index + 1, selected.count):
                await self._fetch(self._session, new)
                await self._session.breathe()
        self._last_uid = max(self._last_uid, selected.uids[-1])

    async def _look_at_selected(self, *, idling: bool) -> None:
        session, wanted = self._session, self.registration.selected
        if not wanted.wanted or session.selected is None:
            return
        if wanted.delayed and not idling and await self._expunged(session.selected.mailbox.name):
            return  # sequence numbers hold until the next command (section 6.1.2), and so does all else
        await session.report(with_uid=True)
        await self.arrived()

    async def _expunged(self, name: str) -> bool:
        """Whether messages that the client knows are gone."""
        uids = self._session.mailbox.uids
        with await patiently(partial(self._session.store.open, name, read_only=True)) as mailbox:
            return bool(uids) and bisect_right(mailbox.messages.uids, uids[-1]) < len(uids)

    # --- looking
    async def look(self, *, idling: bool = False) -> None:
        """Tell what has changed.  Raises TooMuch, StoreError, MailboxReplaced."""
        self.pending = False
        if self._selected_dirty:
            self._selected_dirty = False
            await self._look_at_selected(idling=idling)
        if self._tree_dirty:
            self._tree_dirty = False
            await self._look_at_tree()
        dirty, self._dirty = self._dirty, set()
        for name in sorted(dirty & self._watched.keys()):
            if name != self._selected_name:
                try:
                    await self._look_at(name, self._watched[name])
                except MailboxBusy:
                    self._look_later(name)
                except StoreError:
                    pass  # what is gone the tree tells of
            await self._session.breathe()

    async def own_change(self) -> None:
        """The session itself has changed something: the client knows.  Raises TooMuch, StoreError."""
        if not self.registration.groups:
            return
        self._tree = self._read_tree()
        await self._choose()
        dirty, self._dirty = self._dirty, set()  # others may change something meanwhile
        for name in dirty & self._watched.keys():
            try:
                await patiently(partial(self._take_in, name, self._watched[name]))
            except MailboxBusy:
                self._look_later(name)
            except StoreError:
                pass
        if self.registration.asks(events.SERVER_METADATA):
            self._server_notes = self._notes("")

    def _take_in(self, name: str, watched: _Watched) -> None:
        if watched.events & events.MESSAGE_EVENTS:
            watched.status = self._session.store.status(name)
            self._validities[name] = watched.status.uid_validity
        elif self.registration.asks(events.MAILBOX_NAME) and name not in self._validities:
            self._validities[name] = self._session.store.status(name).uid_validity
        if events.MAILBOX_METADATA in watched.events:
            watched.notes = self._notes(name)

    def _notes(self, name: str) -> dict[str, bytes]:
        """The annotations of a mailbox, as digests."""
        entries = metadata.visible(self._session.store, name)
        return {entry: hashlib.blake2b(value, digest_size=16).digest() for entry, value in entries.items()}

    async def _look_at(self, name: str, watched: _Watched) -> None:
        before, notes = watched.status, watched.notes
        await patiently(partial(self._take_in, name, watched))
        after = watched.status
        session = self._session
        if after is not None:  # where it was in use before, all is new
            moved = before is None or _counts(after) != _counts(before)
            if moved or (before and events.FLAG_CHANGE in watched.events and _flags(after) != _flags(before)):
                session.send(status_response(session, name, after))
        changed = _differing(notes, watched.notes)
        if changed:
            session.send(metadata_response(session, name, changed))

    async def _look_at_tree(self) -> None:
        before, self._tree = self._tree, self._read_tree()
        if self.registration.asks(events.MAILBOX_NAME, events.SUBSCRIPTION_CHANGE):
            await self._tell_tree(before)
        if self.registration.asks(events.SERVER_METADATA):
            notes, self._server_notes = self._server_notes, self._notes("")
            changed = _differing(notes, self._server_notes)
            if changed:
                self._session.send(metadata_response(self._session, "", changed))
        await self._choose()

    async def _tell_tree(self, before: dict[str, _Known]) -> None:
        session, after = self._session, self._tree
        gone = {name for name in before.keys() - after.keys() if before[name].entry.selectable}
        renamed = {}
        for name in sorted(after.keys() - before.keys()):
            if gone and after[name].entry.selectable:
                with suppress(StoreError):
                    validity = (await patiently(partial(session.store.status, name))).uid_validity
                    old = next((each for each in gone if self._validities.get(each) == validity), None)
                    if old is not None:
                        renamed[name] = old
                        gone.discard(old)
        for name in sorted(gone):
            if events.MAILBOX_NAME in self._events(name, before[name]):
                session.send(list_response(session, name, [b"\\NonExistent"]))
        for name in sorted(after):
            known, old_known = after[name], before.get(name)
            wanted = self._events(name, known) | (
                self._events(name, old_known) if old_known is not None else frozenset()
            )
            if old_known is None or known.entry.selectable != old_known.entry.selectable:
                if events.MAILBOX_NAME in wanted:
                    session.send(list_response(session, name, _attributes(known), renamed.get(name, "")))
            elif known.subscribed != old_known.subscribed and events.SUBSCRIPTION_CHANGE in wanted:
                session.send(list_response(session, name, _attributes(known)))


def _counts(status: MailboxStatus) -> tuple[int, ...]:
    return status.messages, status.uid_next, status.uid_validity


def _flags(status: MailboxStatus) -> tuple[int, ...]:
    return status.unseen, status.deleted, status.highest_modseq


def _differing(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Entries that came, went or have another value."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _attributes(known: _Known) -> list[bytes]:
    attributes = [] if known.entry.selectable else [b"\\Noselect"]
    attributes.append(b"\\HasChildren" if known.entry.has_children else b"\\HasNoChildren")
    if known.subscribed:
        attributes.append(b"\\Subscribed")
    return attributes


def status_response(session: Session, name: str, status: MailboxStatus) -> bytes:
    """The STATUS that tells of messages in a mailbox that is not selected (sections 5.1 to 5.3)."""
    items = [
        b"MESSAGES %d" % status.messages,
        b"UIDNEXT %d" % status.uid_next,
        b"UIDVALIDITY %d" % status.uid_validity,
        b"UNSEEN %d" % status.unseen,
    ]
    if b"CONDSTORE" in session.enabled and status.highest_modseq:
        items.append(b"HIGHESTMODSEQ %d" % status.highest_modseq)
    return response.untagged(b"STATUS", session.mailbox_name(name), response.parenthesized(items))


def list_response(session: Session, name: str, attributes: list[bytes], old: str = "") -> bytes:
    """The LIST that tells of a mailbox's name, with the one that it had before (section 5.4)."""
    parts = [b"LIST", response.parenthesized(attributes), b'"/"', session.mailbox_name(name)]
    if old:
        parts.append(b'("OLDNAME" (%b))' % session.mailbox_name(old))
    return response.untagged(*parts)


def metadata_response(session: Session, name: str, entries: list[str]) -> bytes:
    """The METADATA that names changed entries (RFC 5464 section 4.4.2)."""
    words = (response.astring(entry.encode("ascii")) for entry in entries)
    return response.untagged(b"METADATA", session.mailbox_name(name), *words)
