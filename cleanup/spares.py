"""Writing new messages over the files of old ones.

qmgr moves the file of a small message that is done into spare/ instead of deleting it.  Using it again saves making a
new one, but must never let an old message come back with a new one's content, nor a reader of the old one see the new:

- a spare file is used only after both directories, active/ and spare/, were synced since it was moved; so after power
  loss it is never found as a message, whatever has been written into it;
- it is used only if its lock can be had: qmgr and every agent that works on a message share that lock, so a file which
  any of them still holds open is not touched, but deleted by name;
- it is used only if nobody else has it open, lock or no lock (fcntl(2): a write lease is given for no other file): an
  agent that was broken into could give up the lock, keep the descriptor, and wait for others' messages;
- it is used only if it has no other name: a file system may have lost the removal of a name, but not its count;
- it is taken out of spare/ by a rename, so two processes never use the same;
- what the new message does not cover is overwritten with zeros before the file is synced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from pillarbox.lib.queue.directories import SPARE
from pillarbox.lib.system.files import sync_directory

FEW = 8
"""Look for more when fewer usable files than this are left."""

WORTH_A_SYNC = 16
"""Files that must wait in spare/ before the directories are synced for them."""

OPEN_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Spares:
    """The spare files that this process may use."""

    def __init__(self, queue_directory: str) -> None:
        self._directory = f"{queue_directory}/{SPARE}"
        self._usable: list[str] = []
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._synced = [os.open(path, flags) for path in (f"{queue_directory}/active", self._directory)]

    def take(self, name: str) -> int | None:
        """Move a spare file to `name`; its descriptor, open for writing and locked, or None where there is none."""
        while self._usable:
            spare = f"{self._directory}/{self._usable.pop()}"
            try:
                os.rename(spare, name)
                descriptor = os.open(name, OPEN_FLAGS)
            except OSError:
                continue  # another process was faster, or qmgr has trimmed it
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                if os.fstat(descriptor).st_nlink != 1:
                    raise OSError("it has another name, under which it may be a message")
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                os.close(descriptor)
                continue
            return descriptor
        return None

    def refill(self) -> None:
        """Between two rounds: find further files and make sure that their move is on disk.  Failing is no harm."""
        if len(self._usable) >= FEW:
            return
        try:
            names = os.listdir(self._directory)
            if len(names) < WORTH_A_SYNC:
                return
            for directory in self._synced:
                sync_directory(directory)
        except OSError:
            return
        self._usable = names
