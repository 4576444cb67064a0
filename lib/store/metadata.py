"""Annotations of mailboxes and of accounts (RFC 5464): the note that holds them, its limits, and who sees what.

An entry's name begins with /shared or /private.  What is private belongs to one user: the owner's stands under its own
name, that of another user who may read the mailbox has the user's address behind it.  Names have one case only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from pillarbox.lib.store.interface import NoPermission, Store, StoreError, StoreUnavailable
from pillarbox.lib.store.notes import LIMIT

VALUE_LIMIT: Final = 32768
"""Octets of one value: half of what a literal may have, so that the client is told."""
ENTRY_LIMIT: Final = 100
"""Entries that one user, or all together in /shared, may have of one mailbox."""
GUEST_VALUE_LIMIT: Final = 8192
"""Octets of one private value beside a mailbox of somebody else, whose note holds it."""
GUEST_LIMIT: Final = 65536
"""Octets of what one other user may have beside a mailbox, as it is stored."""
GUESTS_LIMIT: Final = LIMIT // 2
"""Octets of what all of them may have: the other half is the owner's, and for all."""
FAIR: Final = 4096
"""Octets that each of them may have once a half of that is used: then few can't keep out many."""
NAME_LIMIT: Final = 200
"""Characters of a name."""
SPECIAL_USE: Final = "/private/specialuse"

_SHARED, _PRIVATE = "/shared", "/private"
# A user's address cannot be part of an entry's name: that has no NUL.
_OWNER: Final = "\0"
_NAME: Final = re.compile(r"/(?:shared|private)(?:/[!-$&-)+-.0-~]+)*\Z")


class TooBig(StoreError):
    """A value is too long."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a value has more than {limit} octets")
        self.response_code = f"METADATA MAXSIZE {limit}"


class TooMany(StoreError):
    """There are too many entries."""

    response_code = "METADATA TOOMANY"


def entry_name(text: str) -> str | None:
    """An entry's name in its one spelling, None for what is none; "/shared" and "/private" alone are for searches."""
    name = text.lower()
    return name if len(name) <= NAME_LIMIT and _NAME.match(name) else None


def parse(note: bytes) -> dict[str, bytes]:
    """All entries.  Raises StoreUnavailable for a note that is damaged."""
    if not note:
        return {}
    try:
        return {name: value.encode("latin-1") for name, value in json.loads(note).items()}
    except (ValueError, AttributeError, RecursionError):
        raise StoreUnavailable("the annotations of the mailbox are damaged") from None


def serialize(entries: Mapping[str, bytes]) -> bytes:
    """The note for entries; nothing for none."""
    if not entries:
        return b""
    return json.dumps({name: value.decode("latin-1") for name, value in sorted(entries.items())}).encode("ascii")


def _key(name: str, user: str) -> str:
    return f"{name}{_OWNER}{user}" if user and name.startswith(_PRIVATE) else name


def visible(store: Store, mailbox: str) -> dict[str, bytes]:
    """The entries of a mailbox ("": of the account) that this session may see.  Raises StoreError."""
    user = store.annotator(mailbox)
    found = {}
    for key, value in parse(store.note(mailbox, "metadata")).items():
        name, _, owner = key.partition(_OWNER)
        if owner == user or name.startswith(_SHARED):
            found[name] = value
    return found


def change(store: Store, mailbox: str, changes: Mapping[str, bytes | None]) -> None:
    """Set entries, or with None remove them: all or none.  Raises TooBig, TooMany, NoPermission, StoreError."""
    if any(name.startswith(_SHARED) for name in changes):
        if not mailbox:
            raise NoPermission("what the server says to all is the administrator's")
        if "w" not in store.rights(mailbox):
            raise NoPermission("you may not annotate this mailbox for all")
    user = store.annotator(mailbox)
    for name, value in changes.items():
        limit = GUEST_VALUE_LIMIT if user and name.startswith(_PRIVATE) else VALUE_LIMIT
        if value is not None and len(value) > limit:
            raise TooBig(limit)
    adding = any(value is not None for value in changes.values())

    def make(note: bytes) -> bytes:
        entries = parse(note)
        before = _size_of(entries, user) if user else 0
        for name, value in changes.items():
            if value is None:
                entries.pop(_key(name, user), None)
            else:
                entries[_key(name, user)] = value
        after = serialize(entries)
        if adding:
            _check_number(entries, user)
            if len(after) > LIMIT:
                raise TooMany("the annotations of the mailbox take too much room")
            if user and any(name.startswith(_PRIVATE) for name in changes):
                _check_guest(entries, user, before)
        return after

    store.change_note(mailbox, "metadata", make)


def _check_number(entries: Mapping[str, bytes], user: str) -> None:
    """Raises TooMany."""
    for group, owner in ((_SHARED, ""), (_PRIVATE, user)):
        count = sum(key.startswith(group) and key.partition(_OWNER)[2] == owner for key in entries)
        if count > ENTRY_LIMIT:
            raise TooMany(f"a mailbox has at most {ENTRY_LIMIT} annotations")


def _size_of(entries: Mapping[str, bytes], user: str) -> int:
    """Octets of what one other user has, as it is stored."""
    return len(serialize({key: value for key, value in entries.items() if key.partition(_OWNER)[2] == user}))


def _check_guest(entries: Mapping[str, bytes], user: str, before: int) -> None:
    """What other users have is bounded for each, and for all together; less than before may always be had.  Raises
    TooMany.
    """
    own = _size_of(entries, user)
    if own <= before:
        return
    if own > GUEST_LIMIT:
        raise TooMany(f"your annotations of another's mailbox take more than {GUEST_LIMIT} octets")
    used = len(serialize({key: value for key, value in entries.items() if _OWNER in key}))
    if used > GUESTS_LIMIT or (used > GUESTS_LIMIT // 2 and own > FAIR):
        raise TooMany("the annotations of all readers of the mailbox take too much room")
