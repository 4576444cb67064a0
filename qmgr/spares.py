"""Keeping the files of delivered messages to be written over, instead of deleting them.

Making a file costs the file system an inode, a block and their journal entries, and deleting one makes the next ones
dearer: more than half of the disk's work for a small message.  cleanup writes new messages over the files in spare/;
how that is made safe against power loss and against an agent that still reads is told in `cleanup/spares.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.directories import SPARE
from pillarbox.qmgr.message import ActiveMessage

SIZE_LIMIT = 16 * 1024
"""Files up to this size are kept, in bytes: cleanup pads a shorter message with zeros, which must stay cheap."""

COUNT_LIMIT = 256
"""Files that are kept at most: what cleanup can use between two rounds of a busy system, and 4 MB of disk."""

AGE_LIMIT = 600.0
"""Seconds after which an unused file is deleted: a message that has been delivered is not to lie about."""

COUNT_AGAIN = 0.1
"""Seconds between two counts of a full directory, which cleanup empties meanwhile."""


class Spares:
    """The directory spare/, as the queue manager fills and trims it."""

    def __init__(self, queue: Queue, clock: Callable[[], float] = time.time) -> None:
        self._directory = f"{queue.directory}/{SPARE}"
        self._clock = clock
        self._count = COUNT_LIMIT
        self._next_count = 0.0

    def keep(self, message: ActiveMessage) -> bool:
        """Keep the file of a message that is done, if that is worth it; False where it is to be deleted instead.

        Raises OSError where the file is no longer in active/.
        """
        if message.file.offset + message.file.length > SIZE_LIMIT or not self._room():
            return False
        if message.is_marked():
            return False  # the mark is in the file's mode, and cleanup cannot take it off
        os.rename(message.path, f"{self._directory}/{message.queue_id}")
        self._count += 1
        return True

    def _room(self) -> bool:
        if self._count < COUNT_LIMIT:
            return True
        now = self._clock()
        if now >= self._next_count:
            self._next_count = now + COUNT_AGAIN
            try:
                self._count = len(os.listdir(self._directory))
            except OSError:
                pass
        return self._count < COUNT_LIMIT

    def trim(self) -> None:
        """Delete the files that nobody has needed for a while."""
        oldest = self._clock() - AGE_LIMIT
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    # The change time is that of the rename into this directory.
                    if entry.stat(follow_symlinks=False).st_ctime < oldest:
                        os.unlink(entry.path)
        except OSError:
            pass  # cleanup has taken it
