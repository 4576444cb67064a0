"""Names of Maildir files: `UNIQUE,S=SIZE,W=WIRESIZE:2,FLAGS`.

UNIQUE as delivery makes it is `SECONDS.V<device>I<inode>M<microseconds>.HOST` (maildir(5), and Postfix's shape); S= is
the file's size and W= its size with CRLF line ends, as Dovecot writes them.  FLAGS are `DFRST`, then `a`-`z` for
keywords; what follows a comma in FLAGS belongs to other programs and is kept.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from functools import lru_cache
from typing import Final, NamedTuple

from pillarbox.lib.store.index.columns import mark_of
from pillarbox.lib.store.interface import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

INFO: Final = ":2,"
BYTES_INFO: Final = INFO.encode("ascii")
HOST: Final = os.uname().nodename.replace("/", "\\057").replace(":", "\\072").replace(",", "\\054")
"""This host in the way maildir(5) says: the two forbidden characters as octal, and `,`, which begins the sizes."""

FLAG_LETTERS: Final = ((DRAFT, "D"), (FLAGGED, "F"), (ANSWERED, "R"), (SEEN, "S"), (DELETED, "T"))
_BIT_OF: Final = {letter: bit for bit, letter in FLAG_LETTERS}
_SIZES = re.compile(r",([SW])=([0-9]{1,18})(?=[,:]|\Z)")
_TIME = re.compile(r"([0-9]{1,18})\.(?:[^.]*M([0-9]{1,18}))?")
_sequence = itertools.count()


class Info(NamedTuple):
    """What the part after `:2,` says."""

    flags: int
    keyword_letters: str
    rest: str
    """From the first comma on, kept as it is."""


@lru_cache(maxsize=512)
def parse_info(info: str) -> Info:
    """Read FLAGS (what follows `:2,`); letters that mean nothing here are dropped."""
    letters, comma, rest = info.partition(",")
    flags = 0
    keywords = []
    for letter in letters:
        if letter in _BIT_OF:
            flags |= _BIT_OF[letter]
        elif "a" <= letter <= "z" and letter not in keywords:
            keywords.append(letter)
    return Info(flags, "".join(sorted(keywords)), comma + rest)


def format_info(flags: int, keyword_letters: str, rest: str = "") -> str:
    """FLAGS for a file name, letters in ASCII order as maildir(5) asks."""
    return "".join(letter for bit, letter in FLAG_LETTERS if flags & bit) + "".join(sorted(keyword_letters)) + rest


def base_of(name: bytes) -> bytes:
    """What identifies the message for life, of a file name as the system gives it."""
    return name.partition(b":")[0]


def mark_of_name(name: bytes) -> int:
    """The mark (`index.columns`) that the name of a file in cur/ says."""
    info = name.partition(BYTES_INFO)[2]
    if not info:
        return 0
    flags, letters, _ = parse_info(os.fsdecode(info))
    return mark_of(flags, letters)


def split(name: str) -> tuple[str, str]:
    """The base name (which identifies the message for life) and its FLAGS."""
    base, _, info = name.partition(":")
    return base, info[2:] if info.startswith("2,") else ""


def sizes(base: str) -> tuple[int, int]:
    """The file's size and its wire size as the name claims, -1 where it does not."""
    stored = wire = -1
    for kind, digits in _SIZES.findall(base):
        if kind == "S":
            stored = int(digits)
        else:
            wire = int(digits)
    return stored, wire


def arrival_key(base: str) -> tuple[int, int, str]:
    """Sort key that puts names into the order of delivery."""
    match = _TIME.match(base)
    if match is None:
        return (0, 0, base)
    return (int(match[1]), int(match[2] or 0), base)


def temporary_name() -> str:
    """A name for tmp/ that no other process or call uses."""
    now = time.time_ns()
    return f"{now // 1_000_000_000}.M{now // 1000 % 1_000_000}P{os.getpid()}Q{next(_sequence)}.{HOST}"


def final_base(device: int, inode: int, now_ns: int, stored: int = -1, wire: int = -1) -> str:
    """The base name of a message whose file has this device and inode: unique as long as the file exists."""
    base = f"{now_ns // 1_000_000_000}.V{device:x}I{inode:x}M{now_ns // 1000 % 1_000_000}.{HOST}"
    if stored >= 0:
        base += f",S={stored}"
    if wire >= 0:
        base += f",W={wire}"
    return base


def moved_base(base: str) -> str:
    """A new base for the same content elsewhere (copy or move): fresh, with the sizes kept."""
    stored, wire = sizes(base)
    return temporary_name() + (f",S={stored}" if stored >= 0 else "") + (f",W={wire}" if wire >= 0 else "")
