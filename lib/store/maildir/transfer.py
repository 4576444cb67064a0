"""Copying and moving messages between the Maildirs of one account.

A copy is a hard link (a real copy where links are not possible), a move is a rename, both under a fresh base name, so
that the UID lists of source and destination never speak of the same name.  The destination's UIDs are written down
before the first message appears there, under its lock: whoever sees a message finds its UID, and a crash in between
leaves only UIDs without messages.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import Copied, MessageGone
from pillarbox.lib.store.lines import CHUNK
from pillarbox.lib.store.maildir.arrivals import Arrival, Arrivals
from pillarbox.lib.store.maildir.filename import INFO, format_info, moved_base
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.system.files import READING, sync_directory, write_all

_NO_LINKS: Final = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS))

WithPlace = Callable[[int, Callable[[str], None]], None]
"""Calls the function with the path at which the message of this UID is now; raises MessageGone."""


class Item(NamedTuple):
    """One message to transfer."""

    uid: int
    base: str
    """Its base name where it is now."""
    flags: int
    keywords: frozenset[str]
    size: int
    """On the wire, -1 if unknown."""
    date: float
    """Internal date, -1 if unknown."""


class _Planned(NamedTuple):
    item: Item
    base: str
    letters: str

    @property
    def name(self) -> str:
        return f"{self.base}{INFO}{format_info(self.item.flags, self.letters)}"

    def arrival(self, uid: int) -> Arrival:
        return Arrival(uid, self.name, False, self.item.flags, self.letters, self.item.size, self.item.date)


def transfer(
    items: Sequence[Item], directory: str, states: UidStates, with_place: WithPlace, move: bool
) -> tuple[Copied, Arrivals]:
    """Bring `items` into the Maildir `directory`.  A copy brings all or none; vanished messages are left out.

    The index of `directory` is yet to be told, without holding any lock.
    Raises OSError and the errors of `UidState.locked`.
    """
    letters = Keywords(directory)
    letters.reload()
    planned = [
        _Planned(item, moved_base(item.base), letters.letters(item.keywords, create=True) if item.keywords else "")
        for item in items
    ]
    return (_move if move else _copy)(planned, directory, states, with_place)


def _move(planned: list[_Planned], directory: str, states: UidStates, with_place: WithPlace) -> tuple[Copied, Arrivals]:
    state = states.of(directory)
    moved: list[tuple[_Planned, int]] = []
    with state.locked() as known:
        validity = known.uid_validity
        given = state.assign(known, [each.base for each in planned]) if planned else []
        patience.begun()
        arrivals = Arrivals(state)
        for each, uid in zip(planned, given, strict=True):
            try:
                with_place(each.item.uid, lambda path, each=each: _move_file(path, directory, each.base, each.name))  # type: ignore[misc]
            except MessageGone:
                continue
            moved.append((each, uid))
        arrivals.stored([each.arrival(uid) for each, uid in moved])
    if moved:
        sync_directory(f"{directory}/cur")
    return Copied(validity, tuple(each.item.uid for each, _ in moved), tuple(uid for _, uid in moved)), arrivals


def _move_file(path: str, directory: str, base: str, name: str) -> None:
    target = f"{directory}/cur/{name}"
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        temporary = f"{directory}/tmp/{base}"
        _copy_file(path, temporary)
        os.rename(temporary, target)
        os.unlink(path)


def _copy(planned: list[_Planned], directory: str, states: UidStates, with_place: WithPlace) -> tuple[Copied, Arrivals]:
    ready: list[_Planned] = []
    try:
        for each in planned:
            try:
                with_place(each.item.uid, lambda path, each=each: _link(path, f"{directory}/tmp/{each.base}"))  # type: ignore[misc]
            except MessageGone:
                continue
            ready.append(each)
        state = states.of(directory)
        with state.locked() as known:
            validity = known.uid_validity
            given = state.assign(known, [each.base for each in ready]) if ready else []
            patience.begun()
            arrivals = Arrivals(state)
            for each in ready:
                os.rename(f"{directory}/tmp/{each.base}", f"{directory}/cur/{each.name}")
            arrivals.stored([each.arrival(uid) for each, uid in zip(ready, given, strict=True)])
    except BaseException:
        for each in ready:
            for leftover in (f"{directory}/tmp/{each.base}", f"{directory}/cur/{each.name}"):
                try:
                    os.unlink(leftover)
                except OSError:
                    pass
        raise
    if ready:
        sync_directory(f"{directory}/cur")
    return Copied(validity, tuple(each.item.uid for each in ready), tuple(given)), arrivals


def _link(path: str, target: str) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy_file(path, target)


def _copy_file(path: str, target: str) -> None:
    source = os.open(path, READING)
    try:
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while data := os.read(source, CHUNK):
                write_all(copy, data)
            about = os.fstat(source)
            os.utime(copy, ns=(about.st_atime_ns, about.st_mtime_ns))
            os.fsync(copy)
        except BaseException:
            os.unlink(target)
            raise
        finally:
            os.close(copy)
    finally:
        os.close(source)


def sync_places(directory: str) -> None:
    """Make the disappearance of moved messages durable."""
    sync_directory(f"{directory}/cur")
