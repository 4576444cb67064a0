"""Taking messages in: from new/ to cur/, where other sessions do not see them as recent."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.maildir.filename import BYTES_INFO, base_of
from pillarbox.lib.store.maildir.scan import Directories
from pillarbox.lib.store.maildir.state import UidState

_MANY: Final = 250
"""Messages that are taken in within some milliseconds."""
_NOT_OURS: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class Intake:
    """That of one session in one mailbox.

    What was taken in and has no UID yet is remembered with the UID list: whoever has to begin again, because somebody
    holds the list's lock, still knows what is recent to it.
    """

    __slots__ = ("_directories", "_uids", "taken", "wanted")

    def __init__(self, directories: Directories, uids: UidState, wanted: bool) -> None:
        self._directories = directories
        self._uids = uids
        self.wanted = wanted
        """Off for a session that only looks, and where another's mailbox cannot be written."""
        self.taken: set[int] = set()
        """UIDs of messages that are recent to this session; whoever tells of them clears it."""

    def take(self, fresh: Collection[bytes]) -> dict[bytes, bytes]:
        """Move these files in new/; old name to new name of those that we moved.  Raises Later, StoreUnavailable."""
        moved: dict[bytes, bytes] = {}
        if not self.wanted:
            return moved
        if len(fresh) > _MANY:
            patience.give_way()
        new, cur = self._directories.new, self._directories.cur
        for name in fresh:
            target = name if BYTES_INFO in name else name + BYTES_INFO
            try:
                os.rename(b"%b/%b" % (new, name), b"%b/%b" % (cur, target))
            except FileNotFoundError:
                continue  # another session took it in
            except OSError as error:
                if error.errno in _NOT_OURS:
                    self.wanted = False
                    return moved
                raise StoreUnavailable(f"cannot take in new mail: {error.strerror}") from error
            moved[name] = target
            self._uids.in_hand.add(base_of(name))
        return moved

    def numbered(self, names: Iterable[tuple[bytes, int]]) -> None:
        """The messages with these names have these UIDs, and those that we took in are recent to us."""
        if in_hand := self._uids.in_hand:
            self.taken.update(uid for name, uid in names if base_of(name) in in_hand)

    def done(self) -> None:
        """All that was taken in has its UID, or is gone."""
        self._uids.in_hand.clear()
