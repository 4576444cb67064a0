"""Why a delivery into a store failed, in the terms of a delivery agent: enhanced status code and text.

Everything that can pass is transient (RFC 3463 class 4): a full disk, a quota, a missing right, a lock.
"""

from __future__ import annotations

import errno
import os


class DeliveryFailure(Exception):
    """A message could not be stored.  `dsn` is the enhanced status code; class 4 means try again, 5 give up."""

    def __init__(self, dsn: str, text: str) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text

    @property
    def permanent(self) -> bool:
        """Whether trying again is useless."""
        return self.dsn.startswith("5")


_CODES = {
    errno.ENOSPC: "4.3.1",  # mail system full
    errno.EDQUOT: "4.2.2",  # mailbox full
    errno.EFBIG: "4.2.2",
    errno.EACCES: "4.2.0",
    errno.EPERM: "4.2.0",
    errno.EROFS: "4.2.0",
    errno.ENOTDIR: "4.2.0",
    errno.ELOOP: "4.2.0",
}


def from_os_error(error: OSError, what: str) -> DeliveryFailure:
    """The failure for a system call's error; `what` says what was being done ("create maildir file /x")."""
    code = _CODES.get(error.errno or 0, "4.3.0")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DeliveryFailure(code, f"{what}: {reason}")
