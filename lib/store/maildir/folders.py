"""Maildir++: the tree of mailboxes as directories `.Level.Level` beside INBOX, names in modified UTF-7.

Also the `subscriptions` file in Dovecot's two formats: plain lines, and `V<TAB>2` with tab-separated levels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from pillarbox.lib.store import mutf7
from pillarbox.lib.store.interface import DELIMITER, INBOX, BadMailboxName

_MAX_DIRECTORY_NAME: Final = 240
"""NAME_MAX is 255; the rest is room for the names of temporary files made from it."""
REMOVED: Final = "..pillarbox-removed-"
"""Prefix of a mailbox on its way out: two dots make every Maildir++ program pass it by."""


def canonical(name: str) -> str:
    """The name with INBOX in capitals.  Raises BadMailboxName."""
    levels = name.split(DELIMITER)
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    for level in levels:
        if not level:
            raise BadMailboxName("a mailbox name has an empty level")
        if "." in level:
            raise BadMailboxName('a mailbox name in this store cannot contain "."')
        if any(character < " " or character == "\x7f" for character in level):
            raise BadMailboxName("a mailbox name cannot contain control characters")
        if not mutf7.is_unicode(level):
            raise BadMailboxName("the mailbox name is not valid Unicode")
    return DELIMITER.join(levels)


def directory_name(name: str) -> str:
    """The directory of a canonical mailbox name below the root; empty for INBOX.  Raises BadMailboxName."""
    if name == INBOX:
        return ""
    try:
        encoded = "." + ".".join(mutf7.encode(level) for level in name.split(DELIMITER))
        length = len(os.fsencode(encoded))
    except UnicodeError:
        raise BadMailboxName("the mailbox name is not valid Unicode") from None
    if length > _MAX_DIRECTORY_NAME:
        raise BadMailboxName("the mailbox name is too long")
    if "/" in encoded:
        raise BadMailboxName("the mailbox name cannot be a directory")
    return encoded


def mailbox_name(directory: str) -> str | None:
    """The mailbox of a directory name, None if it is not one of Maildir++."""
    if len(directory) < 2 or directory[0] != "." or directory[1] == ".":
        return None
    levels = [mutf7.decode(level) for level in directory[1:].split(".")]
    if not all(levels) or any(DELIMITER in level for level in levels):
        return None
    return DELIMITER.join(levels)


def list_folders(root: str) -> list[str]:
    """Mailboxes other than INBOX that exist on disk, unsorted.  Raises OSError."""
    found = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                name = mailbox_name(entry.name)
                if name is not None and name != INBOX and entry.is_dir(follow_symlinks=True):
                    found.append(name)
    except FileNotFoundError:
        return []
    return found


def parse_subscriptions(text: str) -> tuple[str, ...]:
    """Names in a `subscriptions` file, in order, each once."""
    lines = text.split("\n")
    if lines[0].startswith("V\t"):
        names = [_join_levels(line.split("\t")) for line in lines[1:] if line]
    else:
        names = [_join_levels(line.split(".")) for line in lines if line]
    return tuple(dict.fromkeys(name for name in names if name))


def _join_levels(levels: list[str]) -> str:
    decoded = DELIMITER.join(mutf7.decode(level) for level in levels)
    return INBOX if decoded.upper() == INBOX else decoded


def format_subscriptions(names: Iterable[str]) -> str:
    """The file in version 2."""
    rows = ("\t".join(mutf7.encode(level) for level in name.split(DELIMITER)) for name in names)
    return "V\t2\n\n" + "".join(f"{row}\n" for row in rows)
