"""Dovecot's `dovecot-keywords`: which keyword each letter `a`-`z` in a file name means.

Lines `<number> <keyword>`, number 0 is `a`.  At most 26 keywords per mailbox; one that finds no letter is not kept.
Replaced by rename under a dot lock.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.system.files import READING, write_file

NAME: Final = "dovecot-keywords"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_MAX_BYTES: Final = 65536


def parse(data: bytes) -> dict[str, str]:
    """Letter to keyword; lines that say nothing are left out."""
    names: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        digits, _, keyword = line.partition(" ")
        if digits.isascii() and digits.isdigit() and len(digits) < 3 and int(digits) < len(LETTERS) and keyword:
            names[LETTERS[int(digits)]] = keyword
    return names


def serialize(names: dict[str, str]) -> bytes:
    """The file's content."""
    return "".join(f"{LETTERS.index(letter)} {names[letter]}\n" for letter in sorted(names)).encode()


class Keywords:
    """The keywords of one mailbox directory, re-read when the file changed."""

    __slots__ = ("_cache", "_path", "_seen", "names")

    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/{NAME}"
        self._seen: tuple[int, int, int] | None = None
        self._cache: dict[str, frozenset[str]] = {"": frozenset()}
        self.names: dict[str, str] = {}
        """Letter to keyword."""

    def reload(self) -> bool:
        """Read the file if it changed; true when meanings may have changed."""
        try:
            about = os.stat(self._path)
            seen: tuple[int, int, int] | None = (about.st_ino, about.st_size, about.st_mtime_ns)
        except FileNotFoundError:
            seen = None
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from error
        if seen == self._seen:
            return False
        data = b""
        if seen is not None:
            try:
                fd = os.open(self._path, READING)
                try:
                    data = os.read(fd, _MAX_BYTES)
                finally:
                    os.close(fd)
            except FileNotFoundError:
                return self.reload()  # the mailbox was deleted at this moment
            except OSError as error:
                raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from error
        self._seen = seen
        self.names = parse(data)
        self._cache = {"": frozenset()}
        return True

    def words(self, letters: str) -> frozenset[str]:
        """The keywords that these letters mean; a letter without a meaning means none."""
        known = self._cache.get(letters)
        if known is None:
            known = self._cache[letters] = frozenset(self.names[c] for c in letters if c in self.names)
        return known

    def letters(self, words: Collection[str], create: bool) -> str:
        """The letters for these keywords (any case); with `create`, new ones get a letter while there is one."""
        by_name = {name.lower(): letter for letter, name in self.names.items()}
        missing = [word for word in words if word.lower() not in by_name]
        if missing and create:
            with dot_lock(f"{self._path}.lock"):
                self.reload()
                by_name = {name.lower(): letter for letter, name in self.names.items()}
                free = [letter for letter in LETTERS if letter not in self.names]
                for word in sorted(missing):
                    if word.lower() not in by_name and free:
                        by_name[word.lower()] = free[0]
                        self.names[free.pop(0)] = word
                try:
                    write_file(self._path, serialize(self.names), 0o600)
                except OSError as error:
                    self._seen = (0, 0, 0)  # the letters that were to be given may become others'
                    self.reload()
                    raise StoreUnavailable(f"cannot write {self._path}: {error.strerror}") from error
            self._cache = {"": frozenset()}
        return "".join(sorted({by_name[word.lower()] for word in words if word.lower() in by_name}))

    @property
    def room(self) -> bool:
        """Whether a letter is free."""
        return len(self.names) < len(LETTERS)
