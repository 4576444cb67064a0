"""What only root may do in a spool directory: make a user's mailbox file, and its lock.

These are the file steps of the root parent; which user's they are it knows from the user database.

The mailbox is made empty, mode 0600, and given to the user before anything is written to it; what exists is left alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pillarbox.lib.log import log
from pillarbox.lib.store.interface import MailboxBusy, StoreUnavailable
from pillarbox.lib.store.locks import release_dot_lock, try_dot_lock
from pillarbox.local.users import User

LONGEST_PAUSE: Final = 0.5
"""Seconds between two looks at a lock that another program holds."""


@asynccontextmanager
async def spool_lock(directory: str, user: User, timeout: float, stale_after: float) -> AsyncIterator[None]:
    """Hold the dot lock of `directory`/NAME.  Raises StoreError: MailboxBusy after `timeout` seconds."""
    if "/" in user.name or user.name in ("", ".", ".."):
        raise StoreUnavailable(f'"{user.name}" is no name of a mailbox')
    path = f"{directory}/{user.name}.lock"
    end = time.monotonic() + timeout
    pause = 0.01
    while not try_dot_lock(path, stale_after):
        if time.monotonic() >= end:
            raise MailboxBusy(f"{path} is held by another process")
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    try:
        yield
    finally:
        release_dot_lock(path)


def ensure_spool_file(directory: str, user: User) -> None:
    """Make `directory`/NAME for `user` if it is not there.  Failure is logged; the delivery will tell the rest."""
    if "/" in user.name or user.name in ("", ".", ".."):
        return
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fd = os.open(
            user.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place
        )
        try:
            os.fchown(fd, user.uid, user.gid)
            os.fsync(place)
        finally:
            os.close(fd)
    except FileExistsError:
        pass
    except OSError as error:
        log.warning(f"cannot make mailbox {directory}/{user.name}: {error.strerror}")
    finally:
        os.close(place)
