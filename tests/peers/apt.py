"""Asking Debian's package tools: what a package needs, the archives, their content. Nothing is installed.

The system's own package lists are used when they are there and current; otherwise lists are fetched into a
directory of ours, which works for root and for ordinary users alike and leaves the system as it was.

What apt reads from the lists is kept there too: Debian's images for containers forbid the system's apt to keep it, and
to read all lists for every question takes longer than everything else here.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

# The loader that starts every program is the system's, so the C library must be the system's too.
_NEVER_UNPACKED = frozenset({"libc6", "libc-bin", "libc-l10n", "locales"})

# 'http://.../postfix_3.7.11_amd64.deb' postfix_3.7.11-0+deb12u1_amd64.deb 1510304 SHA256:...
_ARCHIVE_LINE = re.compile(r"^'[^']+' ([^_ ]+)_\S+\.deb ", re.MULTILINE)
_TIMEOUT = 600  # seconds; a slow mirror, not a hanging one


class AptError(Exception):
    """A package tool failed; the text has the command and what it said."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created), so that parallel test workers do a thing once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def run(command: Sequence[str], directory: Path | None = None) -> str:
    """Run a package tool and give its output. Raises AptError."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise AptError(
            f"{command[0]} is not on this machine; the peers need Debian 12 or 13 with apt and dpkg"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{' '.join(command)}: no end after {_TIMEOUT} seconds") from error
    if done.returncode != 0:
        raise AptError(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stdout.strip()[-2000:]}")
    return done.stdout


class Archive:
    """Debian's archive as this machine's sources name it, with a state directory of ours below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fresh = False

    def fetch(self, packages: Sequence[str], target: Path, without: Sequence[str] = ()) -> None:
        """Unpack `packages`, and all they need that this system lacks, into `target`. Raises AptError.

        What they need is left out where its name fits one of the shell patterns `without`.
        """
        if not self._fresh:
            try:
                self._fetch(self._options(), packages, target, without)
            except AptError:
                # No lists, or lists that are older than the mirror: from here on with fresh ones.
                self._fresh = True
            else:
                return
        self._fetch(self._fresh_lists(), packages, target, without)

    def _fetch(self, options: Sequence[str], packages: Sequence[str], target: Path, without: Sequence[str]) -> None:
        plan = run(["apt-get", *options, "install", "--print-uris", "--yes", "--no-install-recommends", *packages])
        wanted = {*_ARCHIVE_LINE.findall(plan), *packages} - _NEVER_UNPACKED
        wanted = {name for name in wanted if not any(fnmatch(name, pattern) for pattern in without)}
        archives = target / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        run(["apt-get", *options, "download", *sorted(wanted)], archives)
        root = target / "root"
        root.mkdir(exist_ok=True)
        for archive in sorted(archives.glob("*.deb")):
            run(["dpkg", "-x", str(archive), str(root)])
            archive.unlink()
        archives.rmdir()
        _drop_privileged_bits(root)

    def _options(self) -> tuple[str, ...]:
        """Options that make apt keep what it has read, and no archives, in a directory of ours."""
        cache = self._directory / "cache"
        options = ("-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User=root")
        # Debian's docker-clean empties the names of these two.
        options += ("-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin")
        with locked(self._directory / "read.lock"):
            if not (cache / "pkgcache.bin").exists():
                (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
                run(["apt-cache", *options, "gencaches"])
        return options

    def _fresh_lists(self) -> tuple[str, ...]:
        """Options that make apt use lists of our own, fetched now unless another process just did."""
        lists = self._directory / "lists"
        options = ("-o", f"Dir::State::lists={lists}", *self._options())
        with locked(self._directory / "update.lock"):
            if not any(lists.glob("*_Packages*")):
                (lists / "partial").mkdir(parents=True, exist_ok=True)
                run(["apt-get", *options, "update"])
        return options


def _drop_privileged_bits(root: Path) -> None:
    """A set-uid program in a cache would be a hole, and the loader ignores our library path for it."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.islink(path):
                continue
            mode = os.stat(path).st_mode
            if mode & 0o6000:
                os.chmod(path, mode & 0o1777)
