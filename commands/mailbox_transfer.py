"""Moving mail from a source to a target, a batch at a time, with a journal: see `mailbox_journal`.

Promises: every message of the source that can be read is in the target once, however often the transfer was killed in
between.  What a batch needs is bounded: so many messages, so many octets unless a single message has more, and those
are streamed.  Messages that cannot be read are told and passed over; where the target is full or cannot be reached the
transfer ends, to be taken up again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from typing import Final

from pillarbox.commands.mailbox_filling import begin_filling, put_kept, to_be_kept
from pillarbox.commands.mailbox_journal import Journal, Progress
from pillarbox.commands.mailbox_message import Key, Message, Opened, Source, SourceMailbox, Target, resemblance
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import (
    DELIMITER,
    INBOX,
    MessageGone,
    NoteKind,
    StoreError,
)
from pillarbox.lib.store.keeping import Identity, Restoring

BATCH: Final = 64
"""Messages of a batch, each with an open file."""
BATCH_SIZE: Final = 4 << 20
"""Octets after which a batch is full."""
TROUBLES: Final = 100
"""Messages that could not be read which are told one by one."""
_NOTES: Final[tuple[NoteKind, ...]] = ("metadata", "acl")
_ACCOUNT_NOTES: Final[tuple[NoteKind, ...]] = ("metadata", "subscriptions")


class Stopped(Exception):
    """The transfer cannot go on now; the text says why."""


@dataclass(slots=True)
class Moved:
    """What became of one mailbox."""

    mailbox: str
    target: str
    messages: int = 0
    """Stored in this run."""
    before: int = 0
    """Stored in runs before."""
    renumbered: int = 0
    """Of those stored in this run, those that clients know by another UID in the source."""
    unreadable: int = 0
    troubles: list[str] = field(default_factory=list)


Role = Callable[[], AbstractContextManager[None]]
"""With whose rights a side is used."""
Show = Callable[[str, int, int, int], None]
"""Mailbox, messages done, messages in all, octets done."""


class Transfer:
    """One run."""

    def __init__(
        self, source: Source, target: Target, journal: Journal, reader: Role, writer: Role, show: Show, into: str = ""
    ) -> None:
        """`into` is a mailbox of the target: it is the source's INBOX there, and has the others below it."""
        self._source = source
        self._target = target
        self._journal = journal
        self._reader = reader
        self._writer = writer
        self._show = show
        self._into = into
        self.moved: list[Moved] = []

    def run(self, only: Sequence[str] = ()) -> None:
        """Move all mailboxes, or only those of these names.  Raises Stopped, StoreError, OSError."""
        with self._reader():
            names = self._source.mailboxes()
            subscriptions = self._source.subscriptions()
        for name in only:
            if name not in names:
                raise Stopped(f'there is no mailbox "{name}"')
        for name in names:
            if not only or name in only:
                self._mailbox(name)
        with self._writer():
            self._target.subscribe([self._target_name(name) for name in subscriptions if not only or name in only])
        if not only and not self._into:
            self._notes("", "", _ACCOUNT_NOTES)

    def _target_name(self, name: str) -> str:
        if not self._into:
            return name
        return self._into if name == INBOX else f"{self._into}{DELIMITER}{name}"

    def _mailbox(self, name: str) -> None:
        with self._writer():
            target = self._target.prepare(self._target_name(name))
        moved = Moved(name, target)
        self.moved.append(moved)
        self._notes(name, target, _NOTES)
        with ExitStack() as stack:
            with self._reader():
                mailbox = stack.enter_context(self._source.mailbox(name))
            progress = self._journal.enter(name, mailbox.identity)
            if progress.identity != mailbox.identity:
                raise Stopped(
                    f'"{name}" is another mailbox than when the transfer began: remove {self._journal.path} to begin'
                    " anew, with the target emptied"
                )
            moved.before = progress.stored
            self._messages(mailbox, progress, moved)

    def _notes(self, name: str, target: str, kinds: Sequence[NoteKind]) -> None:
        for kind in kinds:
            with self._reader():
                note = self._source.note(name, kind)
            if note:
                with self._writer():
                    self._target.set_note(target, kind, note)

    def _messages(self, mailbox: SourceMailbox, progress: Progress, moved: Moved) -> None:
        with self._reader():
            total = moved.before + mailbox.count(progress.done)
        self._show(moved.mailbox, moved.before, total, 0)
        octets = self._finish_begun(mailbox, progress, moved) if progress.begun else 0
        kept, identity = False, mailbox.kept
        if identity is not None and identity.lasts and not self._into:
            with self._writer():
                kept = self._target.identify(moved.target, identity)
                filling = begin_filling(self._target, moved.target, identity, self._journal, progress)
            if filling is not None:
                octets += self._fill(filling, mailbox, identity, progress, moved, total)
        since = progress.done
        with closing(self._batches(mailbox.messages(progress.done), moved)) as batches:
            for passed, batch in batches:
                with self._writer():
                    mark = self._target.mark(moved.target) if batch else []
                self._journal.begin([message.key for message in passed], mark, since)
                before = moved.messages
                self._store(batch, passed, moved, 0)
                if not kept and mailbox.kept is not None:
                    moved.renumbered += moved.messages - before
                octets += sum(opened.message.size for opened in batch)
                self._show(moved.mailbox, progress.stored, total, octets)

    def _batches(
        self, messages: Iterator[Message], moved: Moved
    ) -> Generator[tuple[list[Message], list[Opened]], None, None]:
        """Messages that are passed by, and those of them to be stored, which are open for one step."""
        while True:
            with self._reader():
                passed, batch = _next_batch(messages, moved)
            if not passed:
                return
            try:
                yield passed, batch
            finally:
                _close(batch)

    def _fill(
        self,
        filling: Restoring,
        mailbox: SourceMailbox,
        identity: Identity,
        progress: Progress,
        moved: Moved,
        total: int,
    ) -> int:
        """Store messages under the UIDs that they have, and make the mailbox that of the source; gives the octets."""
        octets = 0
        with closing(self._batches(to_be_kept(mailbox, progress), moved)) as batches:
            for passed, batch in batches:
                with self._writer():
                    outcomes = put_kept(filling, moved.target, batch)
                self._note_outcomes(batch, outcomes, passed[-1].key, moved)
                octets += sum(opened.message.size for opened in batch)
                self._show(moved.mailbox, progress.stored, total, octets)
        with self._writer():
            filling.finish(identity)
        self._journal.filled()
        return octets

    def _finish_begun(self, mailbox: SourceMailbox, progress: Progress, moved: Moved) -> int:
        """Complete the batch in which a run before ended; gives its octets.

        Its line in the journal stays in force, so that this may be killed too.
        """
        keys = set(progress.begun)
        with self._reader():
            wanted = (message for message in _until(mailbox.messages(progress.done), progress.begun[-1]))
            passed, batch = _next_batch((message for message in wanted if message.key in keys), moved)
        try:
            earlier = self._alike(mailbox, progress, batch)
            with self._writer():
                waiting = self._target.missing(moved.target, progress.mark, batch, earlier) if batch else []
            self._store(waiting, passed, moved, len(batch) - len(waiting), progress.begun[-1])
            return sum(opened.message.size for opened in batch)
        finally:
            _close(batch)

    def _alike(self, mailbox: SourceMailbox, progress: Progress, batch: Sequence[Opened]) -> Counter[bytes]:
        """What the target has been given since its mark and could be taken for messages of the batch."""
        dates = {int(opened.message.date) for opened in batch}
        found: Counter[bytes] = Counter()
        if progress.done is None or progress.done == progress.since:
            return found
        with self._reader():
            for message in _until(mailbox.messages(progress.since), progress.done):
                if int(message.date) in dates:
                    try:
                        with message.open() as content:
                            found[resemblance(content)] += 1
                    except (StoreError, OSError):
                        continue  # nor could it be read then
        return found

    def _store(
        self,
        waiting: Sequence[Opened],
        passed: Sequence[Message],
        moved: Moved,
        stored: int,
        last: Key | None = None,
    ) -> None:
        """Store what waits of a batch, and note that all of it is done."""
        outcomes: list[DeliveryFailure | None] = []
        if waiting:
            with self._writer():
                outcomes = self._target.put(moved.target, waiting)
        self._note_outcomes(waiting, outcomes, passed[-1].key if last is None else last, moved, stored)

    def _note_outcomes(
        self,
        batch: Sequence[Opened],
        outcomes: Sequence[DeliveryFailure | None],
        last: Key,
        moved: Moved,
        stored: int = 0,
    ) -> None:
        """What became of a batch whose last key is `last`; `stored` of it were so before.  Raises Stopped."""
        for opened, failure in zip(batch, outcomes, strict=True):
            if failure is None:
                stored += 1
            elif opened.trouble:
                _unreadable(moved, opened.message, opened.trouble)
            else:
                raise Stopped(failure.text)
        self._journal.done(last, stored)
        moved.messages += stored


def _until(messages: Iterable[Message], last: Key) -> Iterator[Message]:
    for message in messages:
        if message.key > last:  # type: ignore[operator]  # a mailbox has keys of one kind
            return
        yield message


def _next_batch(messages: Iterator[Message], moved: Moved) -> tuple[list[Message], list[Opened]]:
    """The next messages, and those of them that can be read.  Raises StoreError, OSError."""
    passed: list[Message] = []
    batch: list[Opened] = []
    size = 0
    try:
        for message in messages:
            passed.append(message)
            size += message.size
            try:
                batch.append(Opened(message, message.open()))
            except MessageGone:
                pass  # removed since the mailbox was opened
            except (StoreError, OSError) as error:
                _unreadable(moved, message, str(error))
            if len(passed) >= BATCH or size >= BATCH_SIZE:
                break
    except BaseException:
        _close(batch)
        raise
    return passed, batch


def _close(batch: Iterable[Opened]) -> None:
    for opened in batch:
        opened.content.close()


def _unreadable(moved: Moved, message: Message, why: str) -> None:
    moved.unreadable += 1
    if len(moved.troubles) < TROUBLES:
        moved.troubles.append(f"{moved.mailbox}: message {message.key}: {why}")
