"""A source that is a Maildir++ tree of whatever origin: read as files, so that nothing in it is changed, nothing that
an index says is believed, and no symbolic link is followed.

Its messages have the UIDs of `dovecot-uidlist`, or of Courier's files.  Those that no server has seen yet come behind
them, as a server would number them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pillarbox.commands.mailbox_files import FileSource, open_inside, open_message
from pillarbox.commands.mailbox_message import Key, Message
from pillarbox.lib.store import notes
from pillarbox.lib.store.interface import INBOX, MailboxNotFound, NoteKind, StoreError
from pillarbox.lib.store.keeping import Identity, id_of, moment, object_id, unique_id
from pillarbox.lib.store.maildir import folders, modseq, uidlist
from pillarbox.lib.store.maildir.courier import adopted
from pillarbox.lib.store.maildir.filename import arrival_key, parse_info, split
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.uidlist import UidList

_SUBSCRIPTIONS = "subscriptions"
_MOST_SUBSCRIPTIONS = 1 << 22


class MaildirSource(FileSource):
    """The tree at `path`."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        super().__init__(path)
        self._directories: dict[str, str] = {}
        for name in [INBOX, *sorted(folders.list_folders(path))]:
            directory = f"{path}/{folders.directory_name(name)}".rstrip("/")
            places = [f"{directory}/{place}" for place in ("cur", "new")]
            if name != INBOX:
                places.insert(0, directory)
            if wrong := next((place for place in places if _is_link(place)), ""):
                self.pass_over(wrong, "a symbolic link is not followed")
            elif os.path.isdir(places[-2]):
                self._directories[name] = directory

    def mailboxes(self) -> list[str]:
        return list(self._directories)

    def subscriptions(self) -> Sequence[str]:
        try:
            with open(open_inside(f"{self.name}/{_SUBSCRIPTIONS}"), "rb") as file:
                return folders.parse_subscriptions(file.read(_MOST_SUBSCRIPTIONS).decode("utf-8", "replace"))
        except (OSError, StoreError):
            return ()

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        if mailbox:
            return notes.read(f"{self._directories[mailbox]}/{notes.MAILBOX[kind]}")
        return notes.read(f"{self.name}/{notes.ACCOUNT[kind]}")

    @contextmanager
    def mailbox(self, name: str) -> Iterator[MaildirFiles]:
        if name not in self._directories:
            raise MailboxNotFound(f'no mailbox "{name}"')
        yield MaildirFiles(self._directories[name])


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


class MaildirFiles:
    """The messages of one Maildir; keys are UIDs, or what they would be."""

    def __init__(self, directory: str) -> None:
        """Raises StoreError, OSError."""
        self._directory = directory
        self._keywords = Keywords(directory)
        self._keywords.reload()
        known = uidlist.read(f"{directory}/{uidlist.NAME}") or adopted(directory, UidList(0))
        self._extensions = known.extensions
        rows: list[tuple[int, str]] = []
        unknown: list[tuple[tuple[int, int, str], str]] = []
        for place in _places(directory):
            base = split(place[4:])[0]
            uid = known.uids.pop(base, 0) if known.uid_validity else 0
            if uid:
                rows.append((uid, place))
            else:
                unknown.append((arrival_key(base), place))
        rows.sort()
        unknown.sort()
        self._listed = len(rows)
        self._rows = rows
        rows += ((known.next_uid + number, place) for number, (_, place) in enumerate(unknown))
        self._uids = [uid for uid, _ in rows]
        self.identity = f"uidvalidity {known.uid_validity}"
        if unknown:
            # Another set of these would have other keys.
            digest = hashlib.blake2b(digest_size=12)
            for (_, _, base), _ in unknown:
                digest.update(os.fsencode(base) + b"\n")
            self.identity = f"{self.identity} {digest.hexdigest()}"
        self.kept: Identity | None = None
        if known.uid_validity:
            # As high as any that can have been told.
            floor = time.time_ns() // 1000 + modseq.ahead(directory)
            mailbox_id = object_id(known.guid) or id_of(known.uid_validity)
            self.kept = Identity(known.uid_validity, known.next_uid + len(unknown), floor, mailbox_id)

    def _start(self, after: Key | None) -> int:
        return bisect_right(self._uids, int(after or 0))

    def count(self, after: Key | None) -> int:
        return len(self._rows) - self._start(after)

    def messages(self, after: Key | None) -> Iterator[Message]:
        for position in range(self._start(after), len(self._rows)):
            uid, place = self._rows[position]
            path = f"{self._directory}/{place}"
            try:
                about = os.lstat(path)
            except FileNotFoundError:
                continue
            base, info = split(place[4:])
            flags, letters, _ = parse_info(info)
            seconds = arrival_key(base)[0]
            words = self._extensions.get(uid, "").split() if position < self._listed else []
            uidl = unique_id(next((word[1:] for word in words if word[0] == "P"), ""))
            yield Message(
                uid,
                flags,
                tuple(sorted(self._keywords.words(letters))),
                about.st_mtime,
                about.st_size,
                partial(open_message, path),
                uid if self.kept is not None else 0,
                moment(seconds) if seconds > 0 else None,
                uidl,
            )


def _places(directory: str) -> Iterator[str]:
    for where in ("new", "cur"):
        try:
            with os.scandir(f"{directory}/{where}") as entries:
                yield from (f"{where}/{entry.name}" for entry in entries if entry.name[0] != ".")
        except FileNotFoundError:
            continue
