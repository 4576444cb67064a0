"""Who shares mailboxes with whom: an index, so that no session looks into every account.

The access lists beside the mailboxes are the truth; what stands here only says where to look, and is made anew for an
account with each change of one of its lists.  Two directories below the place of the hosted mailboxes, in one that no
domain can be called like:

    .shares/of/OWNER                    identifiers that its lists name; where its mail lies, if not as usual
    .shares/with/IDENTIFIER/OWNER       empty
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, unquote

from pillarbox.lib.store import notes
from pillarbox.lib.store.acl import ANYONE, Viewer
from pillarbox.lib.store.interface import StoreUnavailable

DIRECTORY: Final = ".shares"
OWNERS_LIMIT: Final = 1000
"""Accounts whose shared mailboxes one user is shown."""
_HASHED: Final = 201
"""Length of the names that stand for what is too long to be one."""


class Sharing:
    """The index below `base`, where all hosted mailboxes belong to the user that runs this.

    `usual` gives the location of an account's mail as the configuration has it.
    """

    def __init__(self, base: str, usual: Callable[[str], str]) -> None:
        self._base = base
        self._usual = usual
        self._root = f"{base}/{DIRECTORY}"

    def public_place(self, domain: str) -> str:
        """Where the public mailboxes of a domain lie, "" for what is no domain: a Maildir that no account has."""
        return f"{self._base}/{domain}/.public" if domain and "/" not in domain and domain[0] != "." else ""

    def has_public(self, domain: str) -> bool:
        """Whether a domain has public mailboxes."""
        return os.path.isdir(self.public_place(domain))

    def owners(self, viewer: Viewer) -> list[str]:
        """The accounts that share something with the user, by address.  Raises StoreUnavailable."""
        found: set[str] = set()
        for name in self._names(viewer):
            try:
                found.update(map(unquote, os.listdir(f"{self._root}/with/{name}")))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreUnavailable(f"cannot read {self._root}: {error.strerror}") from error
        found.discard(viewer.address)
        return sorted(found)[:OWNERS_LIMIT]

    def location(self, viewer: Viewer, owner: str) -> str:
        """Where the mail of an account lies that shares something with the user; "" where none does."""
        file = _quoted(owner)
        if owner == viewer.address or not any(
            os.path.exists(f"{self._root}/with/{name}/{file}") for name in self._names(viewer)
        ):
            return ""
        return self._record(owner)[0] or self._usual(owner)

    def _names(self, viewer: Viewer) -> list[str]:
        return [_identifier_name(name, viewer.domain) for name in sorted(viewer.identifiers(viewer.domain))]

    def _record(self, owner: str) -> tuple[str, list[str]]:
        note = notes.read(f"{self._root}/of/{_quoted(owner)}")
        try:
            location, names = json.loads(note) if note else ("", [])
            return str(location), [str(name) for name in names]
        except (ValueError, TypeError):
            return "", []

    def update(self, owner: str, location: str, identifiers: Callable[[], Iterable[str]]) -> None:
        """Take in what the access lists of an account name now, which `identifiers` finds out.

        Raises StoreUnavailable, MailboxBusy.
        """
        if len(_quoted(owner)) == _HASHED:
            raise StoreUnavailable("the account's address is too long for sharing")
        domain = owner.rpartition("@")[2]
        if location == self._usual(owner):
            location = ""  # it may hold a password of a database
        file = _quoted(owner)
        try:
            os.makedirs(f"{self._root}/of", 0o700, exist_ok=True)

            def change(note: bytes) -> bytes:
                before = self._record(owner)[1]
                given = (name for name in identifiers() if not name.startswith("-"))
                wanted = sorted({_identifier_name(name, domain) for name in given})
                for name in wanted:
                    os.makedirs(f"{self._root}/with/{name}", 0o700, exist_ok=True)
                    with open(f"{self._root}/with/{name}/{file}", "ab"):
                        pass
                for name in set(before) - set(wanted):
                    try:
                        os.unlink(f"{self._root}/with/{name}/{file}")
                    except FileNotFoundError:
                        pass
                return json.dumps([location, wanted]).encode() if wanted else b""

            notes.change(f"{self._root}/of/{file}", change)
        except OSError as error:
            raise StoreUnavailable(f"cannot write {self._root}: {error.strerror}") from error

    def moved(self, owner: str, location: str) -> None:
        """The owner's mail lies at `location` now.  Costs one failed open where the account shares nothing."""
        known, names = self._record(owner)
        if names and (known or self._usual(owner)) != location:
            location = "" if location == self._usual(owner) else location
            notes.change(f"{self._root}/of/{_quoted(owner)}", lambda _: json.dumps([location, names]).encode())


def _identifier_name(identifier: str, domain: str) -> str:
    """A directory for an identifier; `anyone` is that of a domain."""
    return _quoted(f"{identifier} {domain}" if identifier == ANYONE else identifier)


def _quoted(text: str) -> str:
    """A file name for an address or identifier, never one that begins with a dot or leaves the directory."""
    name = quote(text, safe="@+=_-. $").replace(" ", "%20")
    if name.startswith("."):
        name = "%2E" + name[1:]
    return name if len(name) <= 200 else hashlib.sha512(text.encode()).hexdigest() + "%" * (_HASHED - 128)
