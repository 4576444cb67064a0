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

VALUE_LIMIT: Final = 32768
"""Octets of one value: half of what a literal may have, so that the client is told."""
ENTRY_LIMIT: Final = 100
"""Entries that one user, or all together in /shared, may have of one mailbox."""
GUEST_LIMIT: Final = 200_000
"""Octets of what one other user may have beside a mailbox, as it is stored: its owner must find room there too."""
NAME_LIMIT: Final = 200
"""Characters of a name."""
SPECIAL_USE: Final = "/private/specialuse"

_SHARED, _PRIVATE = "/shared", "/private"
# A user's address cannot be part of an entry's name: that has no NUL.
_OWNER: Final = "\0"
_NAME: Final = re.compile(r"/(?:shared|private)(?:/[!-$&-)+-.0-~]+)*\Z")


class TooBig(StoreError):
    """A value is too long."""

    response_code = f"METADATA MAXSIZE {VALUE_LIMIT}"


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
    if any(value is not None and len(value) > VALUE_LIMIT for value in changes.values()):
        raise TooBig(f"a value has more than {VALUE_LIMIT} octets")
    user = store.annotator(mailbox)

    def make(note: bytes) -> bytes:
        entries = parse(note)
        for name, value in changes.items():
            if value is None:
                entries.pop(_key(name, user), None)
            else:
                entries[_key(name, user)] = value
        for group in (_SHARED, _PRIVATE):
            owner = user if group == _PRIVATE else ""
            count = sum(key.startswith(group) and key.partition(_OWNER)[2] == owner for key in entries)
            if count > ENTRY_LIMIT and any(value is not None for value in changes.values()):
                raise TooMany(f"a mailbox has at most {ENTRY_LIMIT} annotations")
        if user and any(value is not None for value in changes.values()):
            own = {key: value for key, value in entries.items() if key.partition(_OWNER)[2] == user}
            if len(serialize(own)) > GUEST_LIMIT:
                raise TooMany("your annotations of another's mailbox take too much room")
        return serialize(entries)

    store.change_note(mailbox, "metadata", make)
