"""The cache beside a mailbox: what was worked out of its messages, for all sessions and for the next ones.

One file for a mailbox (`cache_file` has its form), which may be deleted at any time.  A process has each file open
once, however many of its sessions look at the mailbox, and only while one of them has asked for something
(`cache_shared`).  A file that is damaged, has another UIDVALIDITY or has become too large is thrown away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import methodcaller
from typing import Any, Final
from weakref import WeakValueDictionary, ref

from pillarbox.lib.store.index.cache_file import Damaged
from pillarbox.lib.store.index.cache_shared import FIELDS, SharedFile
from pillarbox.lib.store.interface import Mailbox, MessageCache

VALUE_LIMIT: Final = 16 * 1024
"""Octets of a value that is kept: a message with more is rare, and quick enough to look at again."""

_CARRIED: Final = 500
"""Messages whose values are taken to another mailbox together."""

_LITTLE: Final = 256 * 1024
"""Octets of a file that are looked through in a millisecond."""

_OF_A_MESSAGE: Final = 2048
"""Octets of the values of one message, about."""

_open: Final[WeakValueDictionary[tuple[str, int, int], SharedFile]] = WeakValueDictionary()
"""By path, UIDVALIDITY and thread: a thread beside the sessions' is to the file what another process is."""


def _file_at(path: str, uid_validity: int) -> SharedFile:
    where = path, uid_validity, threading.get_ident()
    found = _open.get(where)
    if found is None:
        found = _open[where] = SharedFile(path, uid_validity)
    return found


def _file_at_hand(path: str, uid_validity: int, messages: int) -> SharedFile | None:
    """The file, where to know what is in it costs no more than to work with the values of so many messages."""
    known = _open.get((path, uid_validity, threading.get_ident()))
    if known is None:
        with suppress(OSError):
            if os.stat(path).st_size > _LITTLE + messages * _OF_A_MESSAGE:
                return None
        known = _file_at(path, uid_validity)
    return known


class FileCache(MessageCache):
    """The cache as one mailbox view uses it."""

    def __init__(self, path: str, owner: Mailbox) -> None:
        """`path` need not exist; nothing is asked of `owner` before the first use."""
        self._path = path
        self._owner: Mailbox | None = owner  # until it is closed, so that no circle is left
        self._file: SharedFile | None = None
        self._beside: SharedFile | None = None

    def _shared(self) -> SharedFile:
        if self._file is None:
            found = self._file = _file_at(self._path, self._owner.uid_validity if self._owner is not None else 0)
            if self._owner is not None:
                found.owner = ref(self._owner)
        return self._file

    def get(self, field: str, uid: int) -> bytes | None:
        number = FIELDS.get(field)
        if number is None:
            return None
        file = self._shared()
        try:
            return file.get(number, uid)
        except (Damaged, ValueError):
            file.throw_away()
        except OSError:
            pass
        return None

    def get_many(self, field: str, uids: Sequence[int]) -> Sequence[bytes | None]:
        number = FIELDS.get(field)
        if number is not None:
            file = self._shared()
            try:
                return file.get_many(number, uids)
            except (Damaged, ValueError):
                file.throw_away()
            except OSError:
                pass
        return [None] * len(uids)

    def put(self, field: str, uid: int, value: bytes) -> None:
        number = FIELDS.get(field)
        if number is None or len(value) > VALUE_LIMIT:
            return
        self._quietly(self._shared(), methodcaller("put", number, uid, value))

    def missed(self, field: str, uid: int) -> bool:
        if self._file is None or not self._file.absent:
            return False
        return uid in self._file.absent.get(FIELDS[field], ())

    def carry(self, place: str, uid_validity: int, uids: Sequence[int], new: Sequence[int]) -> None:
        if not uids or self._owner is None:
            return
        # Copying may go on in a thread of its own, beside sessions that look at the same mailboxes.
        file = _file_at_hand(self._path, self._owner.uid_validity, len(uids))
        other = _file_at_hand(place, uid_validity, len(uids))
        if file is None or other is None or file is other:
            return
        self._beside = other if len(uids) <= _CARRIED else None  # the next ones often go there too
        for start in range(0, len(uids), _CARRIED):
            part = slice(start, start + _CARRIED)
            values = self._quietly(file, methodcaller("values", uids[part], new[part]))
            if values:
                self._quietly(other, methodcaller("put_all", values))

    def flush(self) -> None:
        if self._file is not None:
            self._quietly(self._file, methodcaller("flush"))

    def _quietly(self, file: SharedFile, step: Callable[[SharedFile], Any]) -> Any:
        """What the step gives; None where the file is damaged or cannot be used."""
        try:
            return step(file)
        except (Damaged, ValueError):
            file.throw_away()
        except OSError:
            pass  # no room, no right: the next session works it out again
        return None

    def close(self) -> None:
        self.flush()
        self._file = self._owner = self._beside = None
