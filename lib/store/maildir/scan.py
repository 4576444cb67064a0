"""Looking at a Maildir's directories, and knowing when one must look again.

A directory's mtime tells that a name came or went, but only as finely as the clock of the file system ticks.
So a directory that changed within the last tick is looked at again even if its mtime stayed.
"""

from __future__ import annotations

import os
import time
from typing import Final

from pillarbox.lib.store.interface import MailboxNotFound, StoreUnavailable

_TICK_NS: Final = 20_000_000
"""Kernel time stamps advance every 1 to 10 ms."""
_COARSE_TICK_NS: Final = 1_100_000_000
"""On file systems with stamps in whole seconds."""
_OWN_CHANGE_RECHECK: Final = 1.0
"""Seconds after a change of our own at which one more look finds what others changed in the same tick."""

Stamp = tuple[int, int]


def list_names(directory: str) -> set[str]:
    """Names of message files.  Raises MailboxNotFound, StoreUnavailable."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        raise MailboxNotFound("the mailbox was deleted") from None
    except OSError as error:
        raise StoreUnavailable(f"cannot read {directory}: {error.strerror}") from error
    return {name for name in names if name[0] != "."}


class DirectoryWatch:
    """Tells whether `new` and `cur` of a Maildir may have changed since they were listed."""

    __slots__ = ("_fresh_until", "_paths", "_recheck_at", "_seen")

    def __init__(self, directory: str) -> None:
        self._paths = (f"{directory}/new", f"{directory}/cur")
        self._seen: Stamp | None = None
        self._fresh_until = 0
        self._recheck_at = 0.0

    @property
    def paths(self) -> tuple[str, str]:
        """The two directories."""
        return self._paths

    def stamp(self) -> Stamp:
        """The state of both directories now.  Raises MailboxNotFound, StoreUnavailable."""
        try:
            return os.stat(self._paths[0]).st_mtime_ns, os.stat(self._paths[1]).st_mtime_ns
        except FileNotFoundError:
            raise MailboxNotFound("the mailbox was deleted") from None
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._paths[1]}: {error.strerror}") from error

    def must_look(self) -> bool:
        """Whether something may have changed."""
        if self.stamp() != self._seen or time.time_ns() < self._fresh_until:
            return True
        return bool(self._recheck_at) and time.monotonic() >= self._recheck_at

    def looked(self, before: Stamp) -> None:
        """Both directories were listed after `before` was taken."""
        self._seen = before
        newest = max(before)
        self._fresh_until = newest + (_TICK_NS if newest % 1_000_000_000 else _COARSE_TICK_NS)
        self._recheck_at = 0.0

    def changed_by_us(self) -> None:
        """Names were changed by this view itself: no need to look for that, but once more a little later."""
        if self._seen is not None:
            self._seen = self.stamp()
            self._recheck_at = time.monotonic() + _OWN_CHANGE_RECHECK
