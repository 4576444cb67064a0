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

from pillarbox.lib.store.interface import Copied, MessageGone
from pillarbox.lib.store.lines import CHUNK
from pillarbox.lib.store.maildir.filename import INFO, format_info, moved_base
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.system.files import sync_directory, write_all

_NO_LINKS: Final = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS))

WithPlace = Callable[[int, Callable[[str], None]], None]
"""Calls the function with the path at which the message of this UID is now; raises MessageGone."""


class Item(NamedTuple):
    """One message to transfer."""

    uid: int
    place: str
    flags: int
    keywords: frozenset[str]


def transfer(items: Sequence[Item], directory: str, states: UidStates, with_place: WithPlace, move: bool) -> Copied:
    """Bring `items` into the Maildir `directory`.  A copy brings all or none; vanished messages are left out.

    Raises OSError and the errors of `UidState.locked`.
    """
    letters = Keywords(directory)
    letters.reload()
    sources: list[int] = []
    bases: list[str] = []
    names: list[str] = []
    for item in items:
        base = moved_base(item.place[4:].partition(":")[0])
        keyword_letters = letters.letters(item.keywords, create=True) if item.keywords else ""
        sources.append(item.uid)
        bases.append(base)
        names.append(f"{base}{INFO}{format_info(item.flags, keyword_letters)}")
    if move:
        return _move(sources, bases, names, directory, states, with_place)
    return _copy(sources, bases, names, directory, states, with_place)


def _move(
    sources: list[int], bases: list[str], names: list[str], directory: str, states: UidStates, with_place: WithPlace
) -> Copied:
    state = states.of(directory)
    moved: list[tuple[int, int]] = []
    with state.locked() as known:
        validity = known.uid_validity
        given = state.assign(known, bases) if bases else []
        for source, uid, base, name in zip(sources, given, bases, names, strict=True):
            try:
                with_place(source, lambda path, base=base, name=name: _move_file(path, directory, base, name))  # type: ignore[misc]
            except MessageGone:
                continue
            moved.append((source, uid))
    if moved:
        sync_directory(f"{directory}/cur")
    return Copied(validity, tuple(source for source, _ in moved), tuple(uid for _, uid in moved))


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


def _copy(
    sources: list[int], bases: list[str], names: list[str], directory: str, states: UidStates, with_place: WithPlace
) -> Copied:
    ready: list[tuple[int, str, str]] = []
    try:
        for source, base, name in zip(sources, bases, names, strict=True):
            try:
                with_place(source, lambda path, base=base: _link(path, f"{directory}/tmp/{base}"))  # type: ignore[misc]
            except MessageGone:
                continue
            ready.append((source, base, name))
        state = states.of(directory)
        with state.locked() as known:
            validity = known.uid_validity
            given = state.assign(known, [base for _, base, _ in ready]) if ready else []
            for _, base, name in ready:
                os.rename(f"{directory}/tmp/{base}", f"{directory}/cur/{name}")
    except BaseException:
        for _, base, name in ready:
            for leftover in (f"{directory}/tmp/{base}", f"{directory}/cur/{name}"):
                try:
                    os.unlink(leftover)
                except OSError:
                    pass
        raise
    if ready:
        sync_directory(f"{directory}/cur")
    return Copied(validity, tuple(source for source, _, _ in ready), tuple(given))


def _link(path: str, target: str) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy_file(path, target)


def _copy_file(path: str, target: str) -> None:
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
