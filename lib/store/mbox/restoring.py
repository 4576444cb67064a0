"""Filling an mbox file under given UIDs (`lib.store.keeping`); the index has rows in the order of UIDs, wherever their
messages stand in the file."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack

from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.delivering import Delivery, Outcomes, split_flags
from pillarbox.lib.store.failure import from_os_error
from pillarbox.lib.store.interface import NotPossible
from pillarbox.lib.store.keeping import Identity, Kept, Restoring, id_of
from pillarbox.lib.store.lines import to_lf
from pillarbox.lib.store.mbox.append import Incoming, append_messages
from pillarbox.lib.store.mbox.file import Locked, MboxFile
from pillarbox.lib.store.mbox.journal import remove
from pillarbox.lib.store.mbox.uidls import add_uidls
from pillarbox.lib.store.uidvalidity import new_uid_validity, note_uid_validity
from pillarbox.lib.system.files import write_all


class MboxRestoring(Restoring):
    """The mailbox `name` in `file`."""

    def __init__(self, name: str, file: MboxFile, identity: Identity, token: int | None) -> None:
        """Raises NotPossible, StoreError."""
        self._name = name
        self._file = file
        with file.locked() as state:
            if token is None:
                token = self._begin(state, identity)
            self.token = token
            self._must_be_the_same(state)

    def _begin(self, state: Locked, identity: Identity) -> int:
        index = state.index
        if index.rows:
            raise NotPossible(f'"{self._name}" has messages already')
        if index.next_uid > 1:
            index.uid_validity = new_uid_validity(self._file.control)
        while index.uid_validity == identity.uid_validity:
            index.uid_validity = new_uid_validity(self._file.control)
        index.next_uid = identity.border
        index.object_id = ""
        remove(self._file.uidls)  # of messages that are gone
        state.whole = state.durable = True
        return index.uid_validity

    def _must_be_the_same(self, state: Locked) -> None:
        if state.index.uid_validity != self.token:
            raise NotPossible(f'"{self._name}" was replaced by another mailbox')

    def put(self, batch: Sequence[Kept]) -> Outcomes:
        outcomes: Outcomes = [None] * len(batch)
        ready: list[tuple[Kept, Incoming]] = []
        with ExitStack() as stack:
            for index, kept in enumerate(batch):
                try:
                    incoming = _incoming(kept.delivery, self._file.control)
                except OSError as error:
                    outcomes[index] = from_os_error(error, "cannot store a message")
                    continue
                stack.callback(incoming.content.close)
                ready.append((kept, incoming))
            with self._file.locked() as state:
                self._must_be_the_same(state)
                ready = [each for each in ready if state.index.row(each[0].uid) is None]
                if ready:
                    add_uidls(self._file.uidls, [(kept.uid, kept.uidl) for kept, _ in ready if kept.uidl])
                    append_messages(
                        self._file,
                        state,
                        [incoming for _, incoming in ready],
                        [kept.uid for kept, _ in ready],
                    )
        return outcomes

    def finish(self, identity: Identity) -> None:
        with self._file.locked() as state:
            self._must_be_the_same(state)
            note_uid_validity(self._file.control, identity.uid_validity)
            index = state.index
            index.uid_validity = identity.uid_validity
            index.next_uid = max(index.next_uid, identity.border)
            index.object_id = "" if identity.mailbox_id == id_of(identity.uid_validity) else identity.mailbox_id
            state.whole = state.durable = True
        self.token = identity.uid_validity


def _incoming(delivery: Delivery, scratch: str) -> Incoming:
    """The message in an unnamed file, so that the mailbox is locked only shortly.  Raises OSError."""
    with tempfile.TemporaryFile(dir=scratch) as file:
        size = 0
        for piece in to_lf(delivery.content()):
            write_all(file.fileno(), piece)
            size += len(piece)
        content = FileContent(os.dup(file.fileno()), ((0, size),))
    flags, keywords = split_flags(delivery.flags)
    date = time.time() if delivery.date is None else delivery.date
    return Incoming(content, flags, tuple(sorted(keywords)), date)
