"""What makes a move between two mbox files happen once: a note of it, kept until the source is rid of the messages.

The note is on disk before the copy begins: which messages of the source, and where in the destination their copies will
stand.  Whoever next opens a mailbox of the account and finds a note looks there: where every copy stands complete, the
messages are removed from the source; otherwise they are still there, and the note is dropped.

There is one note for an account: moves take turns, by a lock that each holds to its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.interface import MailboxNotFound, NotPossible
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.store.mbox.file import MboxFile
from pillarbox.lib.store.mbox.removing import remove_messages
from pillarbox.lib.system.files import without_waiting, write_file

_NAME: Final = "move"


@dataclass(frozen=True, slots=True)
class Move:
    """A move under way.  `start` is the size of the destination's file before it, `sizes` are octets on the wire."""

    source: str
    uid_validity: int
    uids: tuple[int, ...]
    sizes: tuple[int, ...]
    dates: tuple[int, ...]
    """Seconds since the epoch: mail that is delivered meanwhile may be as long, but not as old."""
    destination: str
    start: int


def note_move(control: str, move: Move) -> None:
    """Write the note.  Raises OSError."""
    members = {name: getattr(move, name) for name in Move.__slots__}
    write_file(f"{control}/{_NAME}", json.dumps(members).encode(), 0o600)


def forget_move(control: str) -> None:
    """The move is complete, or was never begun."""
    try:
        os.unlink(f"{control}/{_NAME}")
    except FileNotFoundError:
        pass


def noted_move(control: str) -> Move | None:
    """The note of a dead process, None where there is none or it cannot be understood."""
    try:
        with open(f"{control}/{_NAME}", "rb", opener=without_waiting) as file:
            note = json.loads(file.read())
        return Move(
            str(note["source"]),
            int(note["uid_validity"]),
            tuple(note["uids"]),
            tuple(note["sizes"]),
            tuple(note["dates"]),
            str(note["destination"]),
            int(note["start"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def moving(control: str, resolve: Callable[[str], MboxFile]) -> Iterator[None]:
    """Within, nobody else of the account moves messages, and no move is left half done: one that a dead process
    began has been completed or dropped.  `resolve` gives the files of mailboxes.  Raises StoreError."""
    with dot_lock(f"{control}/{_NAME}.lock"):
        left = noted_move(control)
        if left is not None:
            with suppress(MailboxNotFound, NotPossible):
                _finish(left, resolve)
        forget_move(control)
        yield


def is_noted(control: str) -> bool:
    """Whether somebody moves messages, or did not come to the end of it."""
    return os.path.exists(f"{control}/{_NAME}")


def _finish(move: Move, resolve: Callable[[str], MboxFile]) -> None:
    with resolve(move.destination).locked() as state:
        rows = sorted(state.index.rows, key=lambda row: row.offset)
        copied = is_copied(move, [(row.size, int(row.date)) for row in rows if row.offset >= move.start])
    source = resolve(move.source)
    with source.locked() as state:
        if copied and state.index.uid_validity == move.uid_validity:
            remove_messages(source, state, set(move.uids))


def is_copied(move: Move, found: Sequence[tuple[int, int]]) -> bool:
    """Whether the messages that stand from `start` on in the destination, of these sizes and dates, begin with the
    copies."""
    return list(found[: len(move.sizes)]) == list(zip(move.sizes, move.dates, strict=True))
