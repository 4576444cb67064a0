"""What a session does with the messages of an open Maildir mailbox.

Changing flags is one rename from the name that we know: if another program renamed first, ours fails, we look again
and apply the change to what is there now.  Flag changes and expunges are not synced: after a power loss they may come
undone (never the reverse).  A move is a rename too, so that a message is in exactly one mailbox at every moment.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Copied,
    FlagChange,
    FlagsSet,
    MessageContent,
    MessageGone,
    NotPossible,
    OverQuota,
    StoreUnavailable,
)
from pillarbox.lib.store.maildir import transfer
from pillarbox.lib.store.maildir.append import store_error
from pillarbox.lib.store.maildir.filename import INFO, format_info, parse_info, sizes
from pillarbox.lib.store.maildir.folders import canonical
from pillarbox.lib.store.maildir.view import MaildirView


class MaildirMailbox(MaildirView):
    """A selected Maildir mailbox."""

    @property
    def text_place(self) -> str | None:
        return f"{self._directory}/pillarbox-text"

    def size(self, uid: int) -> int:
        known = self._sizes.get(uid)
        if known is None:
            known = self._size_claimed(uid, -1)
            if known < 0:
                with self.read(uid) as content:
                    known = content.size
            self._sizes[uid] = known
        return known

    def _size_claimed(self, uid: int, file_size: int) -> int:
        """The wire size that the file name or the UID list claims, -1 for none, or if its S= denies `file_size`."""
        stored, wire = sizes(self._place(uid))
        names = self._state.list
        if wire < 0 and names is not None and uid in names.extensions:
            for word in names.extensions[uid].split():
                if word[:1] == "W" and word[1:].isascii() and word[1:].isdigit():
                    wire = int(word[1:])
        if file_size >= 0 and stored >= 0 and stored != file_size:
            return -1
        return wire if file_size < 0 or wire >= file_size else -1

    def internal_date(self, uid: int) -> float:
        known = self._dates.get(uid)
        if known is None:
            try:
                known = self._dates[uid] = self._with_place(uid, os.stat).st_mtime
            except OSError as error:
                raise StoreUnavailable(f"cannot read message: {error.strerror}") from error
        return known

    def read(self, uid: int) -> MessageContent:
        try:
            fd = self._with_place(uid, lambda path: os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        except OSError as error:
            raise StoreUnavailable(f"cannot open message: {error.strerror}") from error
        try:
            stored = os.fstat(fd).st_size
            content = FileContent(fd, ((0, stored),), self._size_claimed(uid, stored))
        except BaseException:
            os.close(fd)
            raise
        self._sizes[uid] = content.size
        return content

    def pop3_uidl(self, uid: int) -> str:
        self._place(uid)
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
        letters = self._keywords.letters(keywords, create=change != "remove") if keywords else ""
        states = []
        try:
            for uid in sorted(set(uids)):
                try:
                    self._change_flags(uid, change, flags, letters)
                except MessageGone:
                    continue
                position = self._position(uid)
                state = self._state_of(uid, self.messages[position].recent)
                self.messages.replace(position, state)
                states.append(state)
        except OSError as error:
            raise StoreUnavailable(f"cannot change flags: {error.strerror}") from error
        finally:
            self._watch.changed_by_us()
        return FlagsSet(tuple(states))

    def _change_flags(self, uid: int, change: FlagChange, flags: int, letters: str) -> None:
        target = ""

        def rename(path: str) -> None:
            nonlocal target
            base, _, info = self._place(uid)[4:].partition(INFO)
            old, old_letters, rest = parse_info(info)
            if change == "add":
                new, new_letters = old | flags, set(old_letters) | set(letters)
            elif change == "remove":
                new, new_letters = old & ~flags, set(old_letters) - set(letters)
            else:
                new, new_letters = flags, set(letters)
            target = f"cur/{base}{INFO}{format_info(new, ''.join(new_letters), rest)}"
            if target != self._place(uid):
                os.rename(path, f"{self._directory}/{target}")
            elif not os.path.lexists(path):
                raise FileNotFoundError

        self._with_place(uid, rename)
        self._renamed(uid, target)

    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        self._must_be_writable()
        bases = []
        counted = self._ledger.active() and self._ledger.counts(self.name)
        size = messages = 0
        try:
            for uid in sorted(set(uids)):
                if uid not in self._places:
                    continue
                base = self._place(uid)[4:].partition(":")[0]
                try:
                    stored = self._stored_size(uid) if counted else 0
                    self._with_place(uid, os.unlink)
                    size += stored
                    messages += 1
                except MessageGone:
                    pass
                self._forget_name(uid)
                bases.append(base)
        except OSError as error:
            raise StoreUnavailable(f"cannot remove message: {error.strerror}") from error
        finally:
            removed = self._drop(bases)
            if bases:
                self._watch.changed_by_us()
            if counted:
                self._account_for([(self.name, -size, -messages)])
        return tuple(removed)

    def _stored_size(self, uid: int) -> int:
        """Octets of the message's file.  Raises MessageGone, OSError."""
        stored = sizes(self._place(uid)[4:].partition(":")[0])[0]
        return stored if stored >= 0 else self._with_place(uid, os.lstat).st_size

    def _account_for(self, changes: Iterable[tuple[str, int, int]]) -> None:
        """Note what came to mailboxes or went from there."""
        for folder, size, messages in changes:
            try:
                self._ledger.add(folder, size, messages)
            except OSError:
                pass  # the next count will find what is there

    def _forget_name(self, uid: int) -> None:
        place = self._places[uid]
        self._listed[0 if place.startswith("new/") else 1].discard(place[4:])

    def copy(self, uids: Collection[int], destination: str) -> Copied:
        return self._transfer(uids, destination, move=False)

    def move(self, uids: Collection[int], destination: str) -> Copied:
        self._must_be_writable()
        return self._transfer(uids, destination, move=True)

    def _transfer(self, uids: Collection[int], destination: str, move: bool) -> Copied:
        directory = self._resolve(destination)
        wanted = [uid for uid in sorted(set(uids)) if uid in self._places]
        items = []
        for uid in wanted:
            flags, letters, _ = parse_info(self._place(uid).partition(INFO)[2])
            items.append(transfer.Item(uid, self._place(uid), flags, self._keywords.words(letters)))
        what = "cannot move messages" if move else "cannot copy messages"
        try:
            stored = self._admitted(wanted, canonical(destination), move, what)
            done = transfer.transfer(items, directory, self._states, self._with_place, move)
        except OSError as error:
            raise store_error(error, what) from error
        if stored:
            size, messages = sum(stored.get(uid, 0) for uid in done.source_uids), len(done.source_uids)
            came = (canonical(destination), size, messages)
            self._account_for((came, (self.name, -size, -messages)) if move else (came,))
        if move:
            bases = [self._place(uid)[4:].partition(":")[0] for uid in done.source_uids]
            for uid in done.source_uids:
                self._forget_name(uid)
            self._drop(bases)
            if bases:
                transfer.sync_places(self._directory)
                self._watch.changed_by_us()
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

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise NotPossible("the mailbox is selected read-only")

    def close(self) -> None:
        self.cache.close()
