"""The directories of the queue, and the moves between them.

    incoming/   synced and complete, not yet taken up        (names that begin with a dot: being written)
    active/     taken up by the queue manager
    deferred/   waiting; the file's modification time is its next attempt
    hold/       set aside by the administrator
    corrupt/    unreadable, kept for a person to look at
    defer/ bounce/   why recipients of a message were deferred or have failed, one log per message
    spare/      files of small messages that have been delivered, kept to be written over: cheaper than new ones
    maildrop/   local submissions not yet picked up

A message moves by rename only, within one file system; `docs/queue.md` is the table of all states.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pillarbox.lib.queue.ids import is_queue_id

QUEUES = ("incoming", "active", "deferred", "hold", "corrupt")
"""The directories that hold queue files."""

LOGS = ("defer", "bounce")
SOCKETS = ("private", "public")
SPARE = "spare"
MAILDROP = "maildrop"

PRIVATE_MODE = 0o700
SOCKETS_MODE = 0o710
"""private/: the suite's own users reach the sockets in it by their common group, the mail owner's."""
PUBLIC_MODE = 0o755
MAILDROP_MODE = 0o1733
"""Anyone may drop a file, no one may list them or touch another's."""

MODES = {
    **dict.fromkeys((*QUEUES, *LOGS, SPARE), PRIVATE_MODE),
    "private": SOCKETS_MODE,
    "public": PUBLIC_MODE,
    MAILDROP: MAILDROP_MODE,
}
"""The directories, and who may enter each."""


class Queue:
    """The queue under one directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, queue: str, queue_id: str) -> str:
        """The file of a message in one of the directories.  Raises ValueError for what is no queue id."""
        if not is_queue_id(queue_id):
            raise ValueError(f'"{queue_id}" is not a queue id')
        return f"{self.directory}/{queue}/{queue_id}"

    def create(self, uid: int = -1, gid: int = -1) -> None:
        """Make the directories that are missing, owned by `uid` and `gid` where given (as root)."""
        top = Path(self.directory)
        if not top.is_dir():
            top.mkdir(parents=True)
            top.chmod(PUBLIC_MODE)  # whatever the umask says
        for name, mode in MODES.items():
            folder = top / name
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(mode)
                if uid >= 0:
                    os.chown(folder, uid, gid)

    def move(self, queue_id: str, source: str, target: str) -> None:
        """Rename a message from one directory to another.  Raises FileNotFoundError where it is not there."""
        os.rename(self.path(source, queue_id), self.path(target, queue_id))

    def remove(self, queue: str, queue_id: str) -> None:
        """Delete a message; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(queue, queue_id))

    def ids(self, queue: str) -> Iterator[str]:
        """The messages in one of the directories, in no order; files with other names are passed over."""
        try:
            with os.scandir(f"{self.directory}/{queue}") as entries:
                for entry in entries:
                    if is_queue_id(entry.name):
                        yield entry.name
        except FileNotFoundError:
            return


def find(queue: Queue, queue_id: str, names: tuple[str, ...] = QUEUES) -> str | None:
    """The directory that holds a message, or None; looked for twice, as it may move meanwhile."""
    for _ in range(2):
        for name in names:
            if os.path.lexists(queue.path(name, queue_id)):
                return name
    return None
