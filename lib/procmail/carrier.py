"""What recipes make happen: the one seam between the language and the files and programs of a user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pillarbox.lib.procmail.mail import Letter, Mail


class CarrierError(Exception):
    """Something could not be done; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as what a user's steps happen.  `directory` is MAILDIR, `umask` UMASK."""

    directory: str
    umask: int
    environment: Mapping[str, str]
    log_file: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run: its arguments, and the seconds that it may take, 0 for as long as all may."""

    argv: tuple[str, ...]
    timeout: float
    shown: str


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: exit status (negative: the signal), output, whether it took all that it was given."""

    status: int
    output: bytes = b""
    fed: bool = True
    overflow: bool = False
    """Whether there was more output than asked for."""


class Carrier(Protocol):
    """Done as the user, with the user's rights.  Texts are octets as the characters 0 to 255."""

    host: str
    """The name of this machine."""
    process: int
    """What `$$` stands for."""

    def run(self, program: Program, feed: Iterable[bytes], place: Place, limit: int) -> Ran:
        """Run with `feed` as input; up to `limit` bytes of output are given, 0: they go to the log.

        Raises CarrierError where it cannot be started or is over its time.
        """

    def filter(
        self,
        program: Program,
        before: Iterable[bytes],
        feed: Iterable[bytes],
        behind: Iterable[bytes],
        place: Place,
    ) -> tuple[Ran, Mail]:
        """Run; the message that `before`, the program's output and `behind` make.  Raises CarrierError."""

    def store(self, folders: Sequence[str], letter: Letter, place: Place) -> str:
        """Deliver into a file or into directories; the names of what was written.  Raises CarrierError."""

    def is_directory(self, path: str, place: Place) -> bool:
        """Whether it is a directory now."""

    def enter(self, path: str, place: Place) -> str:
        """The absolute name of a directory.  Raises CarrierError where it cannot be entered."""

    def read(self, path: str, place: Place) -> str:
        """The text of a further file of recipes.  Raises CarrierError."""

    def lock(self, path: str, place: Place, sleep: float, stale: float) -> None:
        """Make a lock file; one older than `stale` seconds (0: never) is removed.  Raises CarrierError."""

    def unlock(self, path: str, place: Place) -> None:
        """Remove a lock file of ours."""

    def log(self, text: str, place: Place) -> None:
        """Append to the log file, if there is one."""
