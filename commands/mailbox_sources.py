"""The source of a transfer that is a store of any kind.

It is not changed, except that a store is opened as a mail session opens it, which may give UIDs to messages that have
none yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pillarbox.commands.mailbox_message import Key, Message
from pillarbox.lib.store.interface import Mailbox, MessageGone, NoteKind, Store, StoreError
from pillarbox.lib.store.keeping import Identity


class StoreSource:
    """A store of any kind."""

    def __init__(self, store: Store) -> None:
        self.name = store.location
        self._store = store

    def mailboxes(self) -> list[str]:
        return [entry.name for entry in self._store.list() if entry.selectable]

    def subscriptions(self) -> Sequence[str]:
        return self._store.subscriptions()

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        return self._store.note(mailbox, kind)

    def passed_over(self) -> Sequence[str]:
        return ()

    @contextmanager
    def mailbox(self, name: str) -> Iterator[StoreMailbox]:
        with self._store.open(name, read_only=True) as mailbox:
            yield StoreMailbox(mailbox)


class StoreMailbox:
    """A mailbox of a store; keys are UIDs."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.identity = f"uidvalidity {mailbox.uid_validity}"
        self.kept: Identity | None = Identity(
            mailbox.uid_validity, mailbox.uid_next, mailbox.highest_modseq, mailbox.mailbox_id
        )
        self._mailbox = mailbox

    def _start(self, after: Key | None) -> int:
        return bisect_right(self._mailbox.messages.uids, int(after or 0))

    def count(self, after: Key | None) -> int:
        return len(self._mailbox.messages) - self._start(after)

    def messages(self, after: Key | None) -> Iterator[Message]:
        mailbox = self._mailbox
        for position in range(self._start(after), len(mailbox.messages)):
            state = mailbox.messages[position]
            try:
                date, size = mailbox.internal_date(state.uid), mailbox.size(state.uid)
                saved, uidl = mailbox.save_date(state.uid), mailbox.pop3_uidl(state.uid)
            except MessageGone:
                continue
            except StoreError:
                date, size, saved, uidl = 0.0, 0, None, ""  # opening it will say what is wrong
            if uidl == f"{state.uid:08X}{mailbox.uid_validity:08X}":
                uidl = ""
            keywords = tuple(sorted(state.keywords))
            yield Message(
                state.uid,
                state.flags,
                keywords,
                date,
                size,
                partial(mailbox.read, state.uid),
                state.uid,
                saved,
                uidl,
            )
