"""Mailbox names of a database: any Unicode but what no store could hand on."""

from __future__ import annotations

from typing import Final

from pillarbox.lib.store.interface import DELIMITER, INBOX, BadMailboxName

_LONGEST: Final = 255
"""Octets of a name: what fits into a directory name goes into other stores as well."""


def canonical(name: str) -> str:
    """The name with INBOX in capitals.  Raises BadMailboxName."""
    levels = name.split(DELIMITER)
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    for level in levels:
        if not level:
            raise BadMailboxName("a mailbox name has an empty level")
        if level in (".", ".."):
            raise BadMailboxName(f'a level of a mailbox name cannot be "{level}"')
        if any(character < " " or character == "\x7f" for character in level):
            raise BadMailboxName("a mailbox name cannot contain control characters")
    name = DELIMITER.join(levels)
    try:
        length = len(name.encode("utf-8"))
    except UnicodeError:
        raise BadMailboxName("the mailbox name is not valid Unicode") from None
    if length > _LONGEST:
        raise BadMailboxName("the mailbox name is too long")
    return name
