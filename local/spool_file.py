"""Making a user's mailbox file in a spool directory where only root may: the one file step of the root parent.

The file is made empty, mode 0600, and given to the user before anything is written to it; what exists is left alone.
"""

from __future__ import annotations

import os

from pillarbox.lib.log import log
from pillarbox.local.users import User


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
