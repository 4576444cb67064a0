"""How mailboxes are called as files and directories of an export, and what a file of an import is."""

from __future__ import annotations

import os

from pillarbox.lib.store import mutf7


def file_name(level: str) -> str:
    """One level of a mailbox's name as a file's: what a file system would take amiss is `%` and two digits."""
    encoded = "".join(f"%{ord(each):02X}" if each in "%/\\" or each < " " or each == "\x7f" else each for each in level)
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def level_of(name: str) -> str:
    """The level that a file's name stands for; modified UTF-7 is read too, as other servers have it."""
    parts = name.split("%")
    level = parts[0]
    for part in parts[1:]:
        try:
            level += chr(int(part[:2], 16)) + part[2:]
        except ValueError:
            level += f"%{part}"
    return mutf7.decode(level).replace("/", "_")


def is_mbox(path: str) -> bool:
    """Whether the file can be an mbox file: it is empty, or begins with a `From_` line."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        start = os.read(fd, 5)
    except OSError:
        return False
    finally:
        os.close(fd)
    return start in (b"", b"From ")
