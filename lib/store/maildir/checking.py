"""Looking for damage in a Maildir++ tree, and mending what can be mended without changing a UID.

What is found is given as it is found; `mend` says whether it is to be mended at once.  No session should have the
mailboxes open while they are mended: a file whose name claims a wrong size gets another name, and its UID with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.index.file import peek
from pillarbox.lib.store.interface import INBOX, StoreError
from pillarbox.lib.store.lines import CHUNK, WireCounter
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.store.maildir import folders, uidlist
from pillarbox.lib.store.maildir.directories import SUBDIRECTORIES, make_maildir
from pillarbox.lib.store.maildir.filename import moved_base, parse_info, sizes, split
from pillarbox.lib.store.maildir.keywords import NAME as KEYWORDS
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.uidlist import UidList
from pillarbox.lib.store.uidvalidity import new_uid_validity
from pillarbox.lib.system.files import READING, sync_directory, without_waiting

LEFT_OVER: Final = 36 * 3600
"""Seconds after which a file in tmp/ belongs to a delivery that died (maildir(5))."""
INDEX: Final = ("pillarbox-index", "pillarbox.cache")
"""What is made anew when it is gone."""


def check_tree(root: str, *, mend: bool) -> Iterator[Finding]:
    """Everything wrong in the tree at `root`.  Raises StoreError, OSError."""
    for name in [INBOX, *sorted(folders.list_folders(root))]:
        directory = f"{root}/{folders.directory_name(name)}".rstrip("/")
        yield from _check_mailbox(name, directory, root, mend)
    for entry in sorted(os.listdir(root)):
        if entry.startswith(folders.REMOVED):
            if mend:
                shutil.rmtree(f"{root}/{entry}", ignore_errors=True)
            yield Finding("", f"{entry}: what is left of a deleted mailbox", mended=mend)


def _check_mailbox(name: str, directory: str, root: str, mend: bool) -> Iterator[Finding]:
    missing = [each for each in SUBDIRECTORIES if not os.path.isdir(f"{directory}/{each}")]
    if missing:
        if mend:
            make_maildir(directory)
        yield Finding(name, f"no directory {', '.join(missing)}", mended=mend)
        if not mend:
            return
    validity = _indexed_validity(directory)
    if mend:
        for each in INDEX:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/{each}")
    yield from _left_over(name, directory, mend)
    bases: dict[str, str] = {}
    letters: set[str] = set()
    for place in _places(directory):
        base, info = split(place[4:])
        letters.update(parse_info(info).keyword_letters)
        if base in bases:
            yield from _twice(name, directory, bases[base], place, mend)
            continue
        bases[base] = place
    yield from _uids(name, directory, root, set(bases), validity, mend)
    wrong: dict[str, str] = {}
    for base, place in bases.items():
        yield from _file(name, directory, base, place, wrong, mend)
    if mend and wrong:
        _rename(directory, bases, wrong)
    keywords = Keywords(directory)
    keywords.reload()
    if lost := sorted(letters - set(keywords.names)):
        yield Finding(name, f"the file {KEYWORDS} does not say which keywords {', '.join(lost)} are")


def _left_over(name: str, directory: str, mend: bool) -> Iterator[Finding]:
    old = []
    for entry in os.scandir(f"{directory}/tmp"):
        try:
            if entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > LEFT_OVER:
                old.append(entry.path)
        except FileNotFoundError:
            continue  # a delivery that is under way
    if old:
        if mend:
            for path in old:
                os.unlink(path)
        yield Finding(name, f"{len(old)} files of dead deliveries in tmp", mended=mend)


def _places(directory: str) -> Iterator[str]:
    for where in ("new", "cur"):
        for entry in sorted(os.listdir(f"{directory}/{where}")):
            if entry[0] != ".":
                yield f"{where}/{entry}"


def _twice(name: str, directory: str, first: str, second: str, mend: bool) -> Iterator[Finding]:
    """Two files by which one message would be meant; the one found first keeps the UID."""
    paths = [f"{directory}/{place}" for place in (first, second)]
    try:
        one, other = (os.lstat(path) for path in paths)
    except FileNotFoundError:
        return
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        if mend:
            os.unlink(paths[1])
        yield Finding(name, f"{second} is {first} again", mended=mend)
        return
    if mend:
        base, _, info = second[4:].partition(":")
        os.rename(paths[1], f"{directory}/{second[:4]}{moved_base(base)}{':' if info else ''}{info}")
        sync_directory(f"{directory}/{second[:3]}")
    yield Finding(name, f"{second} has the name of another message, {first}", mended=mend)


def _indexed_validity(directory: str) -> int:
    """The UIDVALIDITY that the index tells; 0 where it tells none."""
    try:
        known = peek(directory)
    except (StoreError, OSError):
        return 0
    return known[0].uid_validity if known is not None else 0


def _uids(name: str, directory: str, root: str, bases: set[str], validity: int, mend: bool) -> Iterator[Finding]:
    path = f"{directory}/{uidlist.NAME}"
    if not os.path.lexists(path):
        return
    known = uidlist.read(path)
    if known is None:
        rescued = _rescued(path)
        known = UidList(validity or (new_uid_validity(root) if mend else 1), 1, secrets.token_hex(16))
        for base, uid in rescued.items():
            known.uids[base] = uid
            known.next_uid = uid + 1
        if mend:
            with dot_lock(f"{path}.lock"):
                os.rename(path, f"{path}.damaged")
                uidlist.rewrite(path, known)
        yield Finding(
            name,
            f"{uidlist.NAME} has no first line that can be read: {len(rescued)} UIDs are kept"
            + ("" if validity else ", under a new UIDVALIDITY"),
            mended=mend,
            untouched=not mend,
        )
    if known.damaged:
        if mend:
            with dot_lock(f"{path}.lock"):
                again = uidlist.read(path)
                if again is not None:
                    uidlist.rewrite(path, again)
        yield Finding(name, f"{uidlist.NAME} has lines that cannot be read", mended=mend)
    if gone := len(known.uids.keys() - bases):
        if mend:
            with dot_lock(f"{path}.lock"):
                again = uidlist.read(path)
                present = {split(place[4:])[0] for place in _places(directory)}
                if again is not None:
                    for base in again.uids.keys() - present:
                        again.extensions.pop(again.uids.pop(base), None)
                    uidlist.rewrite(path, again)
        yield Finding(name, f"{gone} UIDs of messages that have no file", harmless=True, mended=mend)


def _rescued(path: str) -> dict[str, int]:
    """The UIDs of lines that can be read, where the first one cannot."""
    with open(path, "rb", opener=without_waiting) as file:
        names = uidlist.parse(b"3 V1 N1\n" + file.read())
    return {} if names is None else dict(names.uids)


def _file(name: str, directory: str, base: str, place: str, wrong: dict[str, str], mend: bool) -> Iterator[Finding]:
    """Read one file; `wrong` gets the base names that ought to be other ones."""
    try:
        fd = os.open(f"{directory}/{place}", READING)
    except FileNotFoundError:
        return  # renamed or removed meanwhile
    except OSError as error:
        what = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
        yield Finding(name, f"{place} {what}")
        return
    counter = WireCounter()
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            yield Finding(name, f"{place} is no file")
            return
        while data := os.read(fd, CHUNK):
            counter.feed(data)
    except OSError as error:
        yield Finding(name, f"{place} cannot be read: {error.strerror}")
        return
    finally:
        os.close(fd)
    stored, wire = sizes(base)
    if stored not in (-1, counter.stored) or wire not in (-1, counter.wire):
        wrong[base] = f"{base.partition(',')[0]},S={counter.stored},W={counter.wire}"
        yield Finding(name, f"{place} has {counter.stored} octets, {counter.wire} on the wire", mended=mend)


def _rename(directory: str, places: dict[str, str], wrong: dict[str, str]) -> None:
    """Give messages names with the right sizes; they keep their UIDs."""
    path = f"{directory}/{uidlist.NAME}"
    with dot_lock(f"{path}.lock"):
        names = uidlist.read(path)
        for base, right in wrong.items():
            place = places[base]
            try:
                os.rename(f"{directory}/{place}", f"{directory}/{place[:4]}{right}{place[4 + len(base) :]}")
            except FileNotFoundError:
                continue  # its flags were changed meanwhile: the next repair finds it
        if names is not None:
            names.uids = {wrong.get(base, base): uid for base, uid in names.uids.items()}
            uidlist.rewrite(path, names)
    for where in ("new", "cur"):
        sync_directory(f"{directory}/{where}")
