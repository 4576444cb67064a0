"""Looking at a Maildir's directories, and how long a look can be relied upon.

A directory's mtime tells that a name came or went, but only as finely as the clock of the file system ticks.  So after
a look at a directory that had changed within the last tick, and after changes of our own, between which those of other
programs would go unnoticed, one more look is due a little later.
"""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from pillarbox.lib.store.interface import MailboxNotFound, StoreUnavailable
from pillarbox.lib.store.maildir.filename import base_of

_TICK_NS: Final = 20_000_000
"""Kernel time stamps advance every 1 to 10 ms."""
_COARSE_TICK_NS: Final = 1_100_000_000
"""On file systems with stamps in whole seconds."""
_OWN_CHANGE_NS: Final = 1_000_000_000
"""From a change of our own to the look that finds what others changed in the same tick."""
_PER_MESSAGE_NS: Final = 50_000
"""That much longer for each message: looks then take a fiftieth of the time at most (a name costs about 1 us)."""
_FAR_NS: Final = 120_000_000_000
"""What is due later than this was noted by a clock that has been set back."""
_ATTEMPTS: Final = 5


class Stamps(NamedTuple):
    """Modification times of new/ and cur/ in nanoseconds."""

    new: int
    cur: int


class Directories:
    """`new` and `cur` of the Maildir at `directory`.  Methods raise MailboxNotFound, StoreUnavailable."""

    __slots__ = ("cur", "new", "paths")

    def __init__(self, directory: str) -> None:
        self.paths = (f"{directory}/new", f"{directory}/cur")
        self.new, self.cur = (os.fsencode(path) for path in self.paths)

    def stamps(self) -> Stamps:
        """Their state now."""
        try:
            return Stamps(os.stat(self.new).st_mtime_ns, os.stat(self.cur).st_mtime_ns)
        except FileNotFoundError:
            raise MailboxNotFound("the mailbox was deleted") from None
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self.paths[1]}: {error.strerror}") from error

    def list_new(self) -> set[bytes]:
        """Names of message files in new/."""
        return _names(self.new)

    def list_both(self) -> tuple[set[bytes], set[bytes]]:
        """Names in new/ and cur/: new/ first, so that a message that is moved over meanwhile is seen at least once."""
        fresh = _names(self.new)
        return fresh, _names(self.cur)

    def list_quietly(self) -> tuple[set[bytes], set[bytes]]:
        """As `list_both`, while nothing is changed if that can be had: readdir(3) may miss what is being renamed.

        In directories that never rest, what any of several looks has seen: what goes meanwhile, the next look misses.
        """
        looks = []
        for _ in range(_ATTEMPTS):
            before = self.stamps()
            found = self.list_both()
            if self.stamps() == before:
                return found
            looks.append(found)
        fresh, present = looks.pop()
        seen = {base_of(name) for name in (*fresh, *present)}
        for look in reversed(looks):
            for names, earlier in zip((fresh, present), look, strict=True):
                for name in earlier:
                    if (base := base_of(name)) not in seen:
                        seen.add(base)
                        names.add(name)
        return fresh, present


def _names(directory: bytes) -> set[bytes]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        raise MailboxNotFound("the mailbox was deleted") from None
    except OSError as error:
        raise StoreUnavailable(f"cannot read {os.fsdecode(directory)}: {error.strerror}") from error
    return {name for name in names if name[0] != 46}


def due_after_look(stamp: int) -> int:
    """When to look again at a directory that was listed after `stamp` was its state; 0: when it changes."""
    end = stamp + (_TICK_NS if stamp % 1_000_000_000 else _COARSE_TICK_NS)
    return end if time.time_ns() < end else 0


def due_after_change(due: int, messages: int = 0) -> int:
    """When to look again after a change of our own to a directory of so many messages; `due` is what was noted."""
    now = time.time_ns()
    if now < due < now + _FAR_NS:
        return due
    return now + _OWN_CHANGE_NS + messages * _PER_MESSAGE_NS


def is_due(due: int) -> bool:
    """Whether the time that was noted has come."""
    return bool(due) and not 0 < due - time.time_ns() < _FAR_NS
