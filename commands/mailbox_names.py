"""How mailboxes are called as files and directories of an export, and what a file of an import is."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from typing import Final

from pillarbox.lib.store import mutf7
from pillarbox.lib.system.files import READING

SIDECAR: Final = "messages.jsonl"
"""Beside single messages: lines of JSON with `file`, `flags` as IMAP writes them, `date` in seconds; and `uid`, `saved`
(seconds) and `uidl` where the mailbox is known by its UIDs."""
ENDING: Final = ".eml"
CHILDREN: Final = ".sbd"
"""Of a directory with the mailboxes below an mbox file."""
_OTHERS: Final = (ENDING, CHILDREN, SIDECAR, ".lock")
"""Endings of names that mean something else."""


def file_name(level: str) -> str:
    """One level of a mailbox's name as a file's: what a file system would take amiss is `%` and two digits."""
    encoded = "".join(f"%{ord(each):02X}" if each in "%/\\" or each < " " or each == "\x7f" else each for each in level)
    if encoded.casefold().endswith(_OTHERS):
        start, _, end = encoded.rpartition(".")
        encoded = f"{start}%2E{end}"
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def distinct_name(level: str, siblings: Iterable[str]) -> str:
    """As `file_name`, spelt otherwise where one of `siblings` would be the same to a file system that does not tell
    capitals, or the ways to write an accent, apart."""
    others = {_folded(other): other for other in siblings}
    spelt = 0
    while True:
        name = "".join(f"%({ord(each):X})" for each in level[:spelt]) + (
            file_name(level[spelt:]) if level[spelt:] else ""
        )
        if others.get(_folded(name), name) == name or spelt == len(level):
            return name
        spelt += 1


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def level_of(name: str) -> str:
    """The level that a file's name stands for; modified UTF-7 is read too, as other servers have it."""
    parts = name.split("%")
    level = parts[0]
    for part in parts[1:]:
        digits, closed, rest = part[1:].partition(")") if part.startswith("(") else (part[:2], ")", part[2:])
        try:
            if not closed or not digits.isalnum():
                raise ValueError
            level += chr(int(digits, 16)) + rest
        except (ValueError, OverflowError):
            level += f"%{part}"
    return mutf7.decode(level).replace("/", "_")


def is_mbox(path: str) -> bool:
    """Whether the file can be an mbox file: it is empty, or begins with a `From_` line."""
    try:
        fd = os.open(path, READING)
    except OSError:
        return False
    try:
        start = os.read(fd, 5)
    except OSError:
        return False
    finally:
        os.close(fd)
    return start in (b"", b"From ")
