"""A user's scripts as ManageSieve sees them (RFC 5804): files in a directory; a symbolic link makes one active.

They lie where delivery looks for them: `sieve_dir` holds NAME.sieve, `sieve` is the link; so has Dovecot's Pigeonhole
it, whose scripts are found where they are.  What is active and was no such link (a file that the user has made by hand)
becomes the script `dovecot.orig`, as there.  A name that cannot be a file's has a digest for a file name, and beside it
a file with the name (`.name-DIGEST.name`).

Promises: a script is replaced in one step, and is on disk when a method returns; which one is active changes in one
step too, so that at no time no script runs; a script that is wrong is not stored; sessions of one user do not see each
other's steps (a lock on the directory).  Blocking.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.sieve_box.running import Owner, Scripts
from pillarbox.lib.sieve_box.scripts import (
    DIGESTED,
    SUFFIX,
    ScriptCache,
    ScriptTrouble,
    script_file,
)
from pillarbox.lib.system.files import open_regular, sync_directory, write_file

NAME_SUFFIX: Final = ".name"
"""Of the file with the name of a script whose file name is a digest."""

RESCUED: Final = "dovecot.orig"
"""What the user's own active file is called once it is one of several; Pigeonhole's name."""

READ_LIMIT: Final = 16 * 1024 * 1024
"""Octets of a script that are read where `sieve_max_script_size` names no limit."""

_NAME_LIMIT: Final = 128
_NAME_OCTETS: Final = 512

Code = Literal["", "QUOTA", "QUOTA/MAXSCRIPTS", "QUOTA/MAXSIZE", "NONEXISTENT", "ALREADYEXISTS", "ACTIVE", "TRYLATER"]
"""Response codes of RFC 5804 section 1.3."""


class StorageError(Exception):
    """What was asked for cannot be done.  The text is for the user."""

    def __init__(self, text: str, code: Code = "") -> None:
        super().__init__(text)
        self.code: Code = code


@dataclass(frozen=True, slots=True)
class Listed:
    """A script that there is."""

    name: str
    active: bool


class ScriptStorage:
    """The scripts of one user.  All methods raise StorageError."""

    def __init__(self, config: Config, owner: Owner) -> None:
        places = Scripts(config)
        self._cache = ScriptCache.configured(config)
        self._directory = places.place(parameters.SIEVE_DIR.name, owner)
        self._link = places.place(parameters.SIEVE.name, owner)
        if not (self._directory.startswith("/") and self._link.startswith("/")):
            raise StorageError("there are no scripts of users here (parameters sieve and sieve_dir)")
        self._size_limit = config[parameters.SIEVE_MAX_SCRIPT_SIZE] or READ_LIMIT
        self._most = config[parameters.SIEVE_QUOTA_MAX_SCRIPTS]
        self._room = config[parameters.SIEVE_QUOTA_MAX_STORAGE]

    # --- looking
    def scripts(self) -> list[Listed]:
        """All scripts, by name."""
        with self._held(shared=True):
            active = self._active()
            return [Listed(name, name == active) for name in sorted(self._names())]

    def get(self, name: str) -> bytes:
        """A script's octets as they were put."""
        with self._held(shared=True):
            return self._read(self._path(name), name)

    def check(self, name: str, data: bytes) -> tuple[str, ...]:
        """Whether it may be stored; gives warnings.  Raises StorageError with what is wrong where."""
        if len(data) > self._size_limit:
            raise StorageError(f"a script has at most {self._size_limit} octets", "QUOTA/MAXSIZE")
        try:
            return self._cache.check(name, data, self._directory)
        except ScriptTrouble as trouble:
            raise StorageError(str(trouble)) from None

    def have_space(self, name: str, size: int) -> None:
        """Return where a script of this size could be put now under this name."""
        require_name(name)
        with self._held(shared=True):
            self._check_room(name, size)

    # --- changing
    def put(self, name: str, data: bytes) -> tuple[str, ...]:
        """Store a script, in place of what has the name; gives warnings."""
        require_name(name)
        warnings = self.check(name, data)
        with self._held():
            self._check_room(name, len(data))
            self._write(name, data)
        return warnings

    def activate(self, name: str) -> tuple[str, ...]:
        """Make a script the one that runs, "" for none; gives warnings."""
        with self._held():
            if not name:
                if os.path.lexists(self._link):
                    os.unlink(self._link)
                    sync_directory(os.path.dirname(self._link))
                return ()
            path = self._path(name)
            warnings = self.check(name, self._read(path, name))
            self._point_to(path)
            return warnings

    def delete(self, name: str) -> None:
        """Remove a script that is not active."""
        with self._held():
            path = self._path(name)
            if name == self._active():
                raise StorageError("the active script cannot be deleted", "ACTIVE")
            self._remove(path)
            sync_directory(self._directory)

    def rename(self, old: str, new: str) -> None:
        """Give a script another name; it stays active where it was."""
        require_name(new)
        with self._held():
            path, target = self._path(old), f"{self._directory}/{script_file(new)}"
            was_active = old == self._active()
            if os.path.lexists(target):
                raise StorageError("there is a script with that name", "ALREADYEXISTS")
            self._write(new, self._read(path, old))  # no second name of one file: whoever ends here leaves two scripts
            if was_active:
                self._point_to(target)
            self._remove(path)
            sync_directory(self._directory)

    # --- the directory
    @contextlib.contextmanager
    def _held(self, *, shared: bool = False) -> Iterator[None]:
        """The directory, made where it is missing, and ours alone; errors of the system become StorageErrors."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # To look may mean to take a file in.
                fcntl.flock(directory, fcntl.LOCK_SH if shared and not self._strange() else fcntl.LOCK_EX)
                self._take_in()
                yield
            finally:
                os.close(directory)
        except OSError as error:
            raise StorageError(f"the scripts cannot be reached now: {error.strerror}", "TRYLATER") from error

    def _names(self) -> list[str]:
        found = []
        for file in os.listdir(self._directory):
            if not file.endswith(SUFFIX):
                continue
            stem = file.removesuffix(SUFFIX)
            if stem.startswith(DIGESTED):
                with contextlib.suppress(OSError, StorageError):
                    name = self._read(f"{self._directory}/{stem}{NAME_SUFFIX}", stem).decode("utf-8", "replace")
                    if script_file(name) == file:
                        found.append(name)
            elif is_name(stem) and script_file(stem) == file:
                found.append(stem)
        return found

    def _path(self, name: str) -> str:
        """The file of a script that there is."""
        path = f"{self._directory}/{script_file(name)}"
        if not is_name(name) or not os.path.isfile(path):
            raise StorageError("there is no script with that name", "NONEXISTENT")
        return path

    def _read(self, path: str, name: str) -> bytes:
        descriptor = open_regular(os.path.realpath(path))  # a user may link scripts
        with open(descriptor, "rb") as file:
            data = file.read(READ_LIMIT + 1)
        if len(data) > READ_LIMIT:
            raise StorageError(f'the script "{name}" is too large')
        return data

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self._directory}/{script_file(name)}"
        self._write_name(name, path)
        write_file(path, data, 0o600)

    def _write_name(self, name: str, path: str) -> None:
        stem = os.path.basename(path).removesuffix(SUFFIX)
        if stem.startswith(DIGESTED):
            write_file(f"{self._directory}/{stem}{NAME_SUFFIX}", name.encode(), 0o600)

    def _remove(self, path: str) -> None:
        os.unlink(path)
        stem = path.removesuffix(SUFFIX)
        if os.path.basename(stem).startswith(DIGESTED):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(stem + NAME_SUFFIX)

    def _check_room(self, name: str, size: int) -> None:
        if size > self._size_limit:
            raise StorageError(f"a script has at most {self._size_limit} octets", "QUOTA/MAXSIZE")
        if not self._most and not self._room:
            return
        sizes = {each: os.stat(f"{self._directory}/{script_file(each)}").st_size for each in self._names()}
        sizes[name] = size
        if self._most and len(sizes) > self._most:
            raise StorageError(f"there may be {self._most} scripts", "QUOTA/MAXSCRIPTS")
        if self._room and sum(sizes.values()) > self._room:
            raise StorageError(f"the scripts may have {self._room} octets together", "QUOTA")

    # --- which one is active
    def _active(self) -> str:
        """The name of the active script, "" where none is."""
        target = self._target()
        return next((name for name in self._names() if script_file(name) == target), "") if target else ""

    def _target(self) -> str:
        """The file in our directory that the link names, "" where there is no such link."""
        try:
            directory, file = os.path.split(os.path.join(os.path.dirname(self._link), os.readlink(self._link)))
        except OSError:
            return ""
        return file if os.path.realpath(directory) == os.path.realpath(self._directory) else ""

    def _strange(self) -> bool:
        """Whether what is active is none of our scripts."""
        return os.path.exists(self._link) and not self._target()

    def _take_in(self) -> None:
        if not self._strange():
            return
        data = self._read(self._link, RESCUED)
        names = set(self._names())
        name = RESCUED
        for number in range(2, len(names) + 3):
            if name not in names or self._read(f"{self._directory}/{script_file(name)}", name) == data:
                break
            name = f"{RESCUED}-{number}"
        self._write(name, data)
        self._point_to(f"{self._directory}/{script_file(name)}")

    def _point_to(self, path: str) -> None:
        """Make `path` the active script, in one step."""
        place = os.path.dirname(self._link)
        os.makedirs(place, mode=0o700, exist_ok=True)
        new = f"{self._link}.{secrets.token_hex(8)}"
        os.symlink(_seen_from(place, path), new)
        try:
            os.rename(new, self._link)
        except OSError:
            os.unlink(new)
            raise
        sync_directory(place)


def is_name(name: str) -> bool:
    """Whether a script may be called so (RFC 5804 section 1.6)."""
    try:
        octets = name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return 0 < len(name) <= _NAME_LIMIT and len(octets) <= _NAME_OCTETS and not any(map(_is_control, name))


def require_name(name: str) -> None:
    """Raises StorageError for a name that no script may have."""
    if not is_name(name):
        raise StorageError(f"a script's name has 1 to {_NAME_LIMIT} characters, and no control characters")


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029"


def _seen_from(place: str, path: str) -> str:
    """A relative path where both lie in the user's own place, which may be moved."""
    place, (directory, file) = os.path.realpath(place), os.path.split(path)
    directory = os.path.realpath(directory)
    return os.path.join(os.path.relpath(directory, place), file) if directory.startswith(f"{place}/") else path
