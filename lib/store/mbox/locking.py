"""The dot lock of an mbox file, as far as its directory allows one."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.store.interface import OverQuota, StoreUnavailable
from pillarbox.lib.store.locks import acquire_dot_lock, release_dot_lock

_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def dot_locked(
    path: str, timeout: float, stale_after: float, denied: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold `path`.lock.  In a directory where only root may make files (a mail spool) `denied` is called, which has
    someone else hold the lock for us; without that it is left out: the programs that share such a directory use record
    locks as well.  On a full disk it is left out too, so that mail can be read and removed there.

    Raises MailboxBusy, StoreUnavailable, and what `denied` raises.
    """
    lock = f"{path}.lock"
    held = True
    try:
        acquire_dot_lock(lock, timeout, stale_after)
    except (OverQuota, StoreUnavailable) as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in (*_FORBIDDEN, *_FULL):
            raise
        held = False
        if denied is not None and cause.errno not in _FULL:
            denied()
    try:
        yield
    finally:
        if held:
            release_dot_lock(lock)
