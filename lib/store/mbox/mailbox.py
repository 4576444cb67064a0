"""An open mbox mailbox.

Flags and UIDs live in the index; the file's own status lines are brought up to date whenever the file is rewritten
(`expunge`, `move`).  Messages are numbered in the order of their UIDs, which for mail appended by anyone is the order
in the file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Changes,
    Copied,
    FlagChange,
    FlagsSet,
    Mailbox,
    MessageContent,
    MessageGone,
    MessageState,
    NotPossible,
)
from pillarbox.lib.store.keeping import id_of
from pillarbox.lib.store.mbox import journal
from pillarbox.lib.store.mbox.append import Incoming, append_messages
from pillarbox.lib.store.mbox.file import Locked, MboxFile, Stamp, store_error
from pillarbox.lib.store.mbox.intent import Move, forget_move, moving, note_move
from pillarbox.lib.store.mbox.removing import remove_messages, shown
from pillarbox.lib.store.mbox.uidls import read_uidls
from pillarbox.lib.store.memory_cache import MemoryCache
from pillarbox.lib.store.snapshot import ListSnapshot
from pillarbox.lib.system.files import write_all

_IN_MEMORY: Final = 1 << 20
"""A message up to this size is copied to memory to be read; a larger one to an unnamed file."""


class MboxMailbox(Mailbox):
    """A view of `file`; `resolve` gives the file of another mailbox of the account."""

    def __init__(self, name: str, file: MboxFile, read_only: bool, resolve: Callable[[str], MboxFile]) -> None:
        self.name = name
        self.read_only = read_only
        self.highest_modseq = 0
        self._sizes: dict[int, int] = {}
        self._dates: dict[int, float] = {}
        self.messages: ListSnapshot = ListSnapshot()
        self.cache = MemoryCache()
        self.uid_validity = 0
        self.uid_next = 1
        self._file = file
        self._resolve = resolve
        self._keywords: tuple[str, ...] = ()
        self._seen: tuple[Stamp, Stamp] | None = None
        self._highest = 0
        self._object_id = ""
        self._uidls: dict[int, str] | None = None
        self.refresh()

    @property
    def mailbox_id(self) -> str:
        return self._object_id or id_of(self.uid_validity)

    @property
    def text_place(self) -> str | None:
        return self._file.text_place

    @property
    def keywords(self) -> tuple[str, ...]:
        return self._keywords

    @property
    def accepts_new_keywords(self) -> bool:
        return not self.read_only

    def watch_paths(self) -> tuple[str, ...]:
        return (self._file.path,)

    def refresh(self) -> Changes:
        if self._seen is not None and self._file.stamp() == self._seen:
            return Changes()
        with self._file.locked() as state:
            return self._take_over(state)

    def _take_over(self, state: Locked) -> Changes:
        """Make the snapshot what the index says; call inside the lock."""
        index = state.index
        if self.uid_validity not in (0, index.uid_validity):
            return Changes(uid_validity_changed=True)
        before = {message.uid: message for message in self.messages}
        messages, changed, new = [], [], []
        for row in index.rows:
            old = before.pop(row.uid, None)
            recent = old.recent if old is not None else row.recent
            if old is None and row.uid <= self._highest:
                continue
            message = MessageState(row.uid, row.flags, frozenset(row.keywords), recent, 0)
            messages.append(message)
            if old is None:
                new.append(message)
                self._sizes[row.uid], self._dates[row.uid] = row.size, row.date
                if row.recent and not self.read_only:
                    row.recent = False
                    state.touch(row)
            elif old != message:
                changed.append(message)
        for uid in before:
            self._sizes.pop(uid, None)
            self._dates.pop(uid, None)
        if messages:
            self._highest = max(self._highest, messages[-1].uid)
        self.messages = ListSnapshot(messages, self._sizes, self._dates)
        self.uid_validity, self.uid_next = index.uid_validity, index.next_uid
        self._object_id = index.object_id
        self._keywords = tuple(sorted({word for row in index.rows for word in row.keywords}))
        self._noted(state)
        return Changes(tuple(sorted(before)), tuple(changed), tuple(new))

    def _noted(self, state: Locked) -> None:
        if state.dirty:
            self._file.save(state)
        self._seen = self._file.stamp()

    def _known(self, uid: int) -> int:
        position = self.messages.position(uid)
        if position is None:
            raise MessageGone("no such message")
        return position

    def size(self, uid: int) -> int:
        self._known(uid)
        return self._sizes[uid]

    def internal_date(self, uid: int) -> float:
        self._known(uid)
        return self._dates[uid]

    def pop3_uidl(self, uid: int) -> str:
        self._known(uid)
        if self._uidls is None:
            self._uidls = read_uidls(self._file.uidls)
        return self._uidls.get(uid) or f"{uid:08X}{self.uid_validity:08X}"

    def read(self, uid: int) -> MessageContent:
        self._known(uid)
        with self._file.locked() as state:
            return self._content(state, uid)

    def _content(self, state: Locked, uid: int) -> MessageContent:
        """A copy of the message.  Raises MessageGone, OSError."""
        row = state.index.row(uid)
        if row is None:
            raise MessageGone("the message was removed by another program")
        places = shown(state, row)
        length = sum(end - start for start, end in places)
        copy = _scratch(self._file.control, length)
        try:
            for start, end in places:
                for data in journal.read_range(state.fd, start, end - start):
                    write_all(copy, data)
            return FileContent(copy, ((0, length),), row.size)
        except BaseException:
            os.close(copy)
            raise

    def set_flags(
        self,
        uids: Collection[int],
        change: FlagChange,
        flags: int,
        keywords: Collection[str] = NO_KEYWORDS,
        *,
        unchanged_since: int | None = None,
    ) -> FlagsSet:
        self._must_be_writable()
        wanted = set(uids)
        folded = {word.lower() for word in keywords}
        with self._file.locked() as state:
            for uid in wanted:
                row = state.index.row(uid)
                if row is None:
                    continue
                have = {word.lower(): word for word in row.keywords}
                if change == "add":
                    row.flags |= flags
                    words = {**{word.lower(): word for word in keywords}, **have}
                elif change == "remove":
                    row.flags &= ~flags
                    words = {name: word for name, word in have.items() if name not in folded}
                else:
                    row.flags = flags
                    words = {word.lower(): have.get(word.lower(), word) for word in keywords}
                row.keywords = tuple(sorted(words.values()))
                state.touch(row)
            return FlagsSet(self._own_change(state, sorted(wanted)))

    def _own_change(self, state: Locked, wanted: Sequence[int]) -> tuple[MessageState, ...]:
        """Take our change into the snapshot without losing sight of what others changed at the same time."""
        unseen = self._seen is None or self._file.stamp() != self._seen
        result = []
        before = set(self._keywords)
        for uid in wanted:
            row, position = state.index.row(uid), self.messages.position(uid)
            if row is None or position is None:
                continue
            new = self.messages[position]._replace(flags=row.flags, keywords=frozenset(row.keywords))
            self.messages.replace(position, new)
            result.append(new)
            before.update(row.keywords)
        self._keywords = tuple(sorted(before))
        if state.dirty:
            self._file.save(state)
        if not unseen:
            self._seen = self._file.stamp()
        return tuple(result)

    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        self._must_be_writable()
        wanted = set(self.messages.uids).intersection(uids)
        if not wanted:
            return ()
        patience.give_way()  # the file is written anew
        with self._file.locked() as state:
            there = wanted.intersection(row.uid for row in state.index.rows)
            self._remove(state, wanted)
        return tuple(sorted(there))

    def _remove(self, state: Locked, wanted: set[int]) -> None:
        unseen = self._seen is None or self._file.stamp() != self._seen
        remove_messages(self._file, state, wanted)
        if not unseen:
            self._seen = self._file.stamp()
        self._drop(wanted)

    def _drop(self, uids: set[int]) -> None:
        self.messages.remove(uids)
        for uid in uids:
            self._sizes.pop(uid, None)
            self._dates.pop(uid, None)

    def copy(self, uids: Collection[int], destination: str) -> Copied:
        target = self._resolve(destination)
        patience.give_way()
        with _copying(), ExitStack() as open_contents:
            with self._file.locked() as state:
                incoming = self._incoming(state, uids, open_contents)
            with target.locked() as state:
                given = append_messages(target, state, list(incoming.values()))
                return Copied(state.index.uid_validity, tuple(incoming), given)

    def move(self, uids: Collection[int], destination: str) -> Copied:
        """Both files are locked at once, so that a move is done or not; nobody else locks two (`intent.moving`)."""
        self._must_be_writable()
        target = self._resolve(destination)
        patience.give_way()
        with _copying(), ExitStack() as held:
            held.enter_context(moving(self._file.control, self._resolve))
            source = held.enter_context(self._file.locked())
            same = target.path == self._file.path
            state = source if same else held.enter_context(target.locked())
            incoming = self._incoming(source, uids, held)
            if incoming:
                self._note_move(tuple(incoming), destination, os.fstat(state.fd).st_size)
            given = append_messages(self._file if same else target, state, list(incoming.values()))
            if incoming:
                self._remove(source, set(incoming))
                forget_move(self._file.control)
            return Copied(state.index.uid_validity, tuple(incoming), given)

    def _incoming(self, state: Locked, uids: Collection[int], held: ExitStack) -> dict[int, Incoming]:
        """Those of these messages that are there, by UID, to be stored elsewhere."""
        found = {}
        for uid in sorted(set(uids)):
            try:
                message = self.messages[self._known(uid)]
                content = held.enter_context(self._content(state, uid))
            except MessageGone:
                continue
            found[uid] = Incoming(content, message.flags, tuple(sorted(message.keywords)), self._dates[uid])
        return found

    def _note_move(self, sources: tuple[int, ...], destination: str, start: int) -> None:
        sizes = tuple(self._sizes[uid] for uid in sources)
        dates = tuple(int(self._dates[uid]) for uid in sources)
        note_move(self._file.control, Move(self.name, self.uid_validity, sources, sizes, dates, destination, start))

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise NotPossible("the mailbox is selected read-only")

    def close(self) -> None:
        pass


@contextmanager
def _copying() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise store_error(error, "cannot copy messages") from error


def _scratch(directory: str, length: int) -> int:
    """An unnamed file for the copy of a message."""
    if length <= _IN_MEMORY:
        return os.memfd_create("message", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(dir=directory) as file:
        return os.dup(file.fileno())
