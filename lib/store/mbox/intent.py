"""What makes a move between two mbox files happen once: a note of it, kept until the source is rid of the messages.

The note is on disk before the copy begins: which messages of the source, and where in the destination their copies will
stand.  Whoever next opens a mailbox of the account and finds a note looks there: where every copy stands complete, the
messages are removed from the source; otherwise they are still there, and the note is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.system.files import write_file

_NAME: Final = "move"


@dataclass(frozen=True, slots=True)
class Move:
    """A move under way.  `start` is the size of the destination's file before it, `sizes` are octets on the wire."""

    source: str
    uid_validity: int
    uids: tuple[int, ...]
    sizes: tuple[int, ...]
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
        with open(f"{control}/{_NAME}", "rb") as file:
            note = json.loads(file.read())
        return Move(
            str(note["source"]),
            int(note["uid_validity"]),
            tuple(note["uids"]),
            tuple(note["sizes"]),
            str(note["destination"]),
            int(note["start"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_copied(move: Move, sizes: Sequence[int]) -> bool:
    """Whether the messages that stand from `start` on in the destination, of these `sizes`, begin with the copies."""
    return tuple(sizes[: len(move.sizes)]) == move.sizes
