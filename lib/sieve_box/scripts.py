"""Script files: read with bounds, compiled once, and compiled again when a file has changed.

Promises: a compiled script is used as long as its file, and those that it includes, are the same (inode, size, time); a
script that is wrong is not compiled again for each message either; no name in `include` leaves its directory.
Does not: decide which scripts run (`running`), or check who owns a file: it is read with the rights of the process.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.sieve import ALL, Script, SieveError, chosen_extensions, compile_script

SUFFIX: Final = ".sieve"
CACHED: Final = 2 * 1024 * 1024
"""Characters of the scripts that a process keeps compiled, which takes some ten times as many octets; those that were
not used for longest make room."""
TOGETHER: Final = 2 * 1024 * 1024
"""Characters of a script and all that it includes, some seconds of compiling: the process is everybody's."""
_LEAST_WEIGHT: Final = 500
"""What a script counts for beside its text."""
DIGESTED: Final = ".name-"
"""How the file of a script begins whose name cannot be a file's."""
_NAME_LIMIT: Final = 200

Signature = tuple[int, int, int] | None
"""Inode, size and time of a file, None where there is none."""


class ScriptTrouble(Exception):
    """A script that cannot be run; the text names the file, the line where there is one, and what was expected."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    script: Script | None
    trouble: str
    files: tuple[tuple[str, Signature], ...]
    """All files that were read, or looked for, and what they were like."""
    personal: bool
    """Whether it depends on the user's directory."""
    weight: int
    """Characters of all that was read."""


class ScriptCache:
    """The scripts of one process.  `size_limit` in bytes, 0: none; `extensions`: what they may require."""

    def __init__(self, *, size_limit: int = 0, global_directory: str = "", extensions: frozenset[str] = ALL) -> None:
        self._extensions = extensions
        self._size_limit = size_limit
        self._global = global_directory
        self._cache: OrderedDict[tuple[str, str], _Compiled] = OrderedDict()
        self._weight = 0

    @classmethod
    def configured(cls, config: Config) -> ScriptCache:
        """As the parameters want it."""
        chosen: tuple[str, ...] = config[parameters.SIEVE_EXTENSIONS]
        return cls(
            size_limit=config[parameters.SIEVE_MAX_SCRIPT_SIZE],
            global_directory=config[parameters.SIEVE_GLOBAL],
            extensions=chosen_extensions(chosen),
        )

    def get(self, path: str, personal_directory: str) -> Script | None:
        """The script at `path`, None where there is no such file.  Raises ScriptTrouble."""
        signature = _signature(path)
        if signature is None:
            return None
        for key in ((path, ""), (path, personal_directory)):
            found = self._cache.get(key)
            if found is not None and all(_signature(file) == known for file, known in found.files):
                self._cache.move_to_end(key)
                break
        else:
            found = self._compile(path, personal_directory)
            key = (path, personal_directory if found.personal else "")
            self._keep(key, found)
        if found.trouble:
            raise ScriptTrouble(found.trouble)
        return found.script

    def included(self, location: str, name: str, personal_directory: str) -> str:
        """The file of the script that `include` means; "" where there is no directory for such scripts."""
        directory = self._global if location == "global" else personal_directory
        return f"{directory}/{script_file(name)}" if directory else ""

    def check(self, name: str, data: bytes, personal_directory: str) -> tuple[str, ...]:
        """Whether a script that is to have this name in the user's directory is right; gives what is to be warned of.

        Raises ScriptTrouble, with a text that names the script, and the line where there is one.
        """
        missing: list[str] = []
        weight = _LEAST_WEIGHT

        def read(where: str, text: Callable[[], str]) -> str:
            nonlocal weight
            found = text()
            weight += len(found)
            if weight > TOGETHER:
                raise ScriptTrouble(f"{where}: with all that it includes at most {TOGETHER} characters were expected")
            return found

        def include(location: str, wanted: str) -> str | None:
            if location != "global" and wanted == name:
                return read(name, lambda: decoded(name, data))
            file = self.included(location, wanted, personal_directory)
            if not file or _signature(file) is None:
                missing.append(f'there is no {location} script "{wanted}" yet, which it includes')
                return None
            return read(name, lambda: read_script(file, self._size_limit))

        try:
            text = read(name, lambda: decoded(name, data))
            compile_script(text, name=name, include=include, extensions=self._extensions)
        except SieveError as error:
            raise ScriptTrouble(str(error)) from None
        return tuple(missing)

    def _keep(self, key: tuple[str, str], found: _Compiled) -> None:
        former = self._cache.pop(key, None)
        self._weight += found.weight - (former.weight if former is not None else 0)
        self._cache[key] = found
        while self._weight > CACHED and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._weight -= oldest.weight

    def _compile(self, path: str, personal_directory: str) -> _Compiled:
        files: dict[str, Signature] = {path: _signature(path)}
        personal = False
        weight = _LEAST_WEIGHT

        def read(file: str) -> str:
            nonlocal weight
            text = read_script(file, self._size_limit)
            weight += len(text)
            if weight > TOGETHER:
                raise ScriptTrouble(f"{path}: with all that it includes at most {TOGETHER} characters were expected")
            return text

        def include(location: str, name: str) -> str | None:
            nonlocal personal
            file = self.included(location, name, personal_directory)
            personal = personal or location != "global"
            if not file:
                return None
            files[file] = _signature(file)
            return read(file) if files[file] is not None else None

        script, trouble = None, ""
        try:
            script = compile_script(read(path), name=path, include=include, extensions=self._extensions)
        except (SieveError, ScriptTrouble) as error:
            trouble = str(error)
        return _Compiled(script, trouble, tuple(files.items()), personal, weight)


def is_script_name(name: str) -> bool:
    """Whether a script's name can be that of a file: one of its own, and not hidden."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT
        and name[0] != "."
        and "/" not in name
        and name.isprintable()
    )


def script_file(name: str) -> str:
    """The name of a script's file: NAME.sieve, or a digest where that cannot be one."""
    if is_script_name(name):
        return f"{name}{SUFFIX}"
    return f"{DIGESTED}{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}{SUFFIX}"


def read_script(path: str, size_limit: int) -> str:
    """The text of a script.  Raises ScriptTrouble."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ScriptTrouble(f"{path}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ScriptTrouble(f"{path}: a regular file was expected")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(size_limit + 1) if size_limit else file.read()
    except OSError as error:
        raise ScriptTrouble(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)
    if size_limit and len(data) > size_limit:
        raise ScriptTrouble(f"{path}: at most {size_limit} bytes were expected (sieve_max_script_size)")
    return decoded(path, data)


def decoded(name: str, data: bytes) -> str:
    """A script's text.  Raises ScriptTrouble."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ScriptTrouble(f"{name}:{line}:{column}: UTF-8 was expected") from None


def _signature(path: str) -> Signature:
    try:
        about = os.stat(path)
    except OSError as error:
        # Where the file may be but not be looked at, reading it says why.
        return None if isinstance(error, FileNotFoundError | NotADirectoryError) else (0, 0, 0)
    return about.st_ino, about.st_size, about.st_mtime_ns
