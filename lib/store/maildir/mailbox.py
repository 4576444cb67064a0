"""What a session does with the messages of an open Maildir mailbox.

Changing flags is one rename from the name that we know: if another program renamed first, ours fails, we look again
and apply the change to what is there now.  Flag changes and expunges are not synced: after a power loss they may come
undone (never the reverse).  A move is a rename too, so that a message is in exactly one mailbox at every moment.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.index.columns import letters_of, mark_of
from pillarbox.lib.store.index.layout import FLAG_BITS, FLAGS, FRESH, GONE, Damaged, Record, Row
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Copied,
    FlagChange,
    FlagsSet,
    MessageContent,
    MessageGone,
    NotPossible,
    OverQuota,
    StoreError,
    StoreUnavailable,
)
from pillarbox.lib.store.lines import plain_header
from pillarbox.lib.store.maildir import transfer
from pillarbox.lib.store.maildir.append import store_error
from pillarbox.lib.store.maildir.filename import INFO, format_info, parse_info, sizes
from pillarbox.lib.store.maildir.folders import canonical
from pillarbox.lib.store.maildir.reading import read_whole
from pillarbox.lib.store.maildir.view import CACHE_NAME, RETRIES, MaildirView, OwnChanges
from pillarbox.lib.system.files import READING

HEADER_ROOM: Final = 8192
"""Octets in which a header is looked for with one call."""
MANY: Final = 250
"""Messages that are removed, copied or moved in some 20 ms; more take long (`patience`)."""

TEXT_NAME: Final = "pillarbox-text"


class MaildirMailbox(MaildirView):
    """A selected Maildir mailbox."""

    def look(self) -> None:
        """Bring the index in line with the UID list and the directories, whatever their times say."""
        self._sync.run(everything=True)

    @property
    def text_place(self) -> str | None:
        return f"{self._directory}/{TEXT_NAME}"

    def size(self, uid: int) -> int:
        row = self._row(uid, named=False)
        if row.size >= 0:
            return row.size
        known = self._facts.get(uid, (-1, -1.0))[0]
        if known < 0:
            with self.read(uid) as content:
                known = content.size
        return known

    def _size_claimed(self, row: Row, file_size: int) -> int:
        """The wire size that the index or the file's name claims, -1 for none, or if it cannot be that of the file."""
        stored, wire = sizes(self._base(row))
        if row.size >= 0:
            wire = row.size
        if stored >= 0 and stored != file_size:
            return -1
        return wire if wire >= file_size else -1

    def internal_date(self, uid: int) -> float:
        row = self._row(uid, named=False)
        known = row.date if row.date >= 0 else self._facts.get(uid, (-1, -1.0))[1]
        if known < 0:
            try:
                known = self._with_place(uid, os.stat).st_mtime
            except OSError as error:
                raise StoreUnavailable(f"cannot read message: {error.strerror}") from error
            self._learn(uid, max(row.size, self._facts.get(uid, (-1, -1.0))[0]), known)
        return known

    def read(self, uid: int) -> MessageContent:
        try:
            fd, row = self._with_row(uid, lambda path: os.open(path, READING))
        except OSError as error:
            raise StoreUnavailable(f"cannot open message: {error.strerror}") from error
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise StoreUnavailable("cannot read message: it is no file")
            content = FileContent(fd, ((0, about.st_size),), self._size_claimed(row, about.st_size))
        except BaseException:
            os.close(fd)
            raise
        if content.size != row.size:
            self._learn(uid, content.size, about.st_mtime)
        return content

    def read_whole(self, uids: Sequence[int], most: int) -> Iterator[Sequence[bytes] | None]:
        try:
            files = [] if self._replaced else list(self._latest.files(uids))
        except Damaged:
            files = []
        yield from read_whole(self._directory, files, most)
        yield from repeat(None, len(uids) - len(files))

    def header(self, uid: int) -> bytes | None:
        try:
            fd, _ = self._with_row(uid, lambda path: os.open(path, READING))
            try:
                return plain_header(os.read(fd, HEADER_ROOM))
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreUnavailable(f"cannot read message: {error.strerror}") from error

    def pop3_uidl(self, uid: int) -> str:
        if self.messages.position(uid) is None:
            raise MessageGone("no such message")
        if self.messages.table.state.uidls:
            self._state.load_all()
            names = self._state.list
            for word in names.extensions.get(uid, "").split() if names is not None else ():
                if word[:1] == "P" and 1 < len(word) <= 71 and word.isascii() and word.isprintable():
                    return word[1:]
        return f"{uid:08X}{self.uid_validity:08X}"

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
        if keywords:
            self._keywords.reload()
        letters = self._keywords.letters(keywords, create=change != "remove") if keywords else ""
        self._use_letters(letters)
        done, modified = [], []
        wanted = mark_of(flags, letters)
        try:
            with self._changing() as changes:
                for uid in sorted(set(uids)):
                    if self.messages.position(uid) is None:
                        continue
                    try:
                        if self._change_flags(changes, uid, change, wanted, unchanged_since):
                            done.append(uid)
                        else:
                            modified.append(uid)
                    except MessageGone:
                        continue
        except OSError as error:
            raise StoreUnavailable(f"cannot change flags: {error.strerror}") from error
        self._keywords.reload()  # another session may have set a keyword, of which these messages tell
        return FlagsSet(tuple(map(self.messages.state, done)), tuple(modified))

    def _change_flags(
        self, changes: OwnChanges, uid: int, change: FlagChange, wanted: int, unchanged_since: int | None
    ) -> bool:
        """Change one message; false when it has changed since.  Raises MessageGone, OSError."""
        for _ in range(RETRIES):
            row = self._row(uid)
            if unchanged_since is not None and row.modseq > unchanged_since:
                return False
            old = row.mark & ~FRESH
            mark = old | wanted if change == "add" else old & ~wanted if change == "remove" else wanted
            base, _, info = os.fsdecode(row.name).partition(INFO)
            name = os.fsencode(f"{base}{INFO}{format_info(mark & FLAG_BITS, letters_of(mark), parse_info(info).rest)}")
            path = self._path(row)
            try:
                if mark == old and not row.mark & FRESH:
                    os.lstat(path)  # nothing to do, if it is still so
                    self._live.tell(Record(FLAGS, uid, *row))
                    return True
                os.rename(path, f"{self._directory}/cur/{os.fsdecode(name)}")
            except FileNotFoundError:
                changes.look()
                continue
            patience.begun()
            changes.add(Record(FLAGS, uid, mark, 0, row.size, row.date, name))
            return True
        raise MessageGone("the message was removed by another program")

    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        self._must_be_writable()
        counted = self._ledger.active() and self._ledger.counts(self.name)
        size = messages = 0
        removed = []
        if len(uids) > MANY:
            patience.give_way()
        if counted:
            self._ledger.give_way()
        try:
            with self._changing() as changes:
                for uid in sorted(set(uids)):
                    if self.messages.position(uid) is None:
                        continue
                    stored = self._remove(changes, uid, counted)
                    changes.add(Record(GONE, uid))
                    if stored is not None:
                        removed.append(uid)
                        size += stored
                        messages += 1
        except OSError as error:
            raise StoreUnavailable(f"cannot remove message: {error.strerror}") from error
        finally:
            if counted:
                self._account_for([(self.name, -size, -messages)])
        return tuple(removed)

    def _remove(self, changes: OwnChanges, uid: int, counted: bool) -> int | None:
        """Remove the file; its size if that is counted, None when it was gone already.  Raises OSError."""
        for _ in range(RETRIES):
            try:
                row = self._row(uid)
                stored = self._stored_size(uid) if counted else 0
                os.unlink(self._path(row))
                patience.begun()
                return stored
            except FileNotFoundError:
                changes.look()
            except MessageGone:
                break
        return None

    def _stored_size(self, uid: int) -> int:
        """Octets of the message's file.  Raises MessageGone, OSError."""
        stored = sizes(self._base(self._row(uid)))[0]
        return stored if stored >= 0 else self._with_place(uid, os.lstat).st_size

    def _account_for(self, changes: Iterable[tuple[str, int, int]]) -> None:
        """Note what came to mailboxes or went from there."""
        for folder, size, messages in changes:
            try:
                self._ledger.add(folder, size, messages)
            except OSError:
                pass  # the next count will find what is there

    def copy(self, uids: Collection[int], destination: str) -> Copied:
        return self._transfer(uids, destination, move=False)

    def move(self, uids: Collection[int], destination: str) -> Copied:
        self._must_be_writable()
        return self._transfer(uids, destination, move=True)

    def _transfer(self, uids: Collection[int], destination: str, move: bool) -> Copied:
        directory = self._resolve(destination)
        what = "cannot move messages" if move else "cannot copy messages"
        wanted = [uid for uid in sorted(set(uids)) if self.messages.position(uid) is not None]
        items = []
        if len(wanted) > MANY:
            patience.give_way()
        try:
            for uid in wanted:
                try:
                    row = self._with_row(uid, os.lstat)[1] if move else self._row(uid)
                except MessageGone:
                    continue
                keywords = self._keywords.words(letters_of(row.mark))
                items.append(transfer.Item(uid, self._base(row), row.mark & FLAG_BITS, keywords, row.size, row.date))
            stored = self._admitted([item.uid for item in items], canonical(destination), move, what)
            if move:
                with self._changing() as changes:
                    done, arrived = transfer.transfer(items, directory, self._states, self._where_known, True)
                    for uid in done.source_uids:
                        changes.add(Record(GONE, uid))
            else:
                done, arrived = transfer.transfer(items, directory, self._states, self._with_place, False)
        except OSError as error:
            raise store_error(error, what) from error
        arrived.note()
        self.cache.carry(f"{directory}/{CACHE_NAME}", done.uid_validity, done.source_uids, done.uids)
        if stored:
            size, messages = sum(stored.get(uid, 0) for uid in done.source_uids), len(done.source_uids)
            came = (canonical(destination), size, messages)
            self._account_for((came, (self.name, -size, -messages)) if move else (came,))
        if move and done.source_uids:
            transfer.sync_places(self._directory)
        return done

    def _admitted(self, uids: Sequence[int], destination: str, move: bool, what: str) -> dict[int, int]:
        """The sizes of messages on their way to another mailbox, {} where nobody counts.  Raises OverQuota, OSError."""
        ledger = self._ledger
        if not ledger.active() or (move and ledger.counts(self.name) == ledger.counts(destination)):
            return {}
        stored = {}
        for uid in uids:
            try:
                stored[uid] = self._stored_size(uid)
            except MessageGone:
                continue
        if why := ledger.lacks(destination, sum(stored.values()), len(stored)):
            raise OverQuota(f"{what}: {why}")
        return stored

    def close(self) -> None:
        try:
            with patience.optional():
                self._note_facts()
        except StoreError:
            self._facts.clear()  # whoever asks for them finds them out again
        super().close()

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise NotPossible("the mailbox is selected read-only")
