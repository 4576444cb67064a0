"""Mailbox access keys (RFC 4467 section 2.2): what the tokens of a user's URLs into a mailbox are made with.

A key has two halves, both random.  One is the account's and the same for all its mailboxes; the other stands beside
the mailbox, one for each user who made URLs into it, and goes where the mailbox goes: a new one of the same name has
other keys.  So all keys of an account are gone once its half is, also those into mailboxes of others that the user
can no longer see; and who has a mailbox's half alone, as the owner of a shared one, has nothing.

Promises: a key that was reset never comes back.  What is damaged, or belongs to an earlier UIDVALIDITY, is no key.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.interface import NoteKind, Store, StoreError

SIZE: Final = 32
"""Octets of each half, and of a key (RFC 4467 section 2.2 wants 16)."""
USERS_LIMIT: Final = 1000
"""Users of whom one mailbox keeps keys."""
_KIND: Final[NoteKind] = "urlauth"


class TooManyKeys(StoreError):
    """A mailbox keeps the keys of so many users that there is no room for another's."""

    response_code = "LIMIT"


@dataclass(frozen=True, slots=True)
class Key:
    """A mailbox access key, or the half that stands beside the mailbox; made for the mailbox of this UIDVALIDITY."""

    secret: bytes
    uid_validity: int


def known_key(store: Store, mailbox: str) -> Key | None:
    """The key of the store's user to a mailbox; None where there is none.  Raises StoreError."""
    of_account = store.note("", _KIND)
    if len(of_account) != SIZE:  # who has no URLs has nothing opened, or made
        return None
    half = _parse(store.note(mailbox, _KIND)).get(store.annotator(mailbox))
    return _key(of_account, half) if half is not None else None


def make_key(store: Store, mailbox: str, random: Callable[[int], bytes] = secrets.token_bytes) -> Key:
    """The key of the store's user to a mailbox, made where there is none.  Raises StoreError."""
    uid_validity = store.status(mailbox).uid_validity
    found = known_key(store, mailbox)
    if found is not None and found.uid_validity == uid_validity:
        return found
    of_account = b""

    def for_account(note: bytes) -> bytes:
        nonlocal of_account
        of_account = note if len(note) == SIZE else random(SIZE)
        return of_account

    store.change_note("", _KIND, for_account)
    return _key(of_account, _set_half(store, mailbox, uid_validity, random, keep=True))


def reset_key(store: Store, mailbox: str, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
    """Another key for the store's user to a mailbox: the URLs into it that are out are good no more.

    Raises StoreError.
    """
    _set_half(store, mailbox, store.status(mailbox).uid_validity, random, keep=False)


def reset_all_keys(store: Store) -> None:
    """No URL of the store's user is good any more.  Raises StoreError."""
    store.change_note("", _KIND, lambda _: b"")


def _set_half(store: Store, mailbox: str, uid_validity: int, random: Callable[[int], bytes], *, keep: bool) -> Key:
    user = store.annotator(mailbox)
    half = Key(b"", 0)

    def change(note: bytes) -> bytes:
        nonlocal half
        halves = _parse(note)
        half = halves.get(user, half)
        if not keep or half.uid_validity != uid_validity:
            half = Key(random(SIZE), uid_validity)
        halves[user] = half
        if len(halves) > USERS_LIMIT:
            raise TooManyKeys(f"the mailbox has keys of {USERS_LIMIT} users already")
        return _serialize(halves)

    store.change_note(mailbox, _KIND, change)
    return half


def _key(of_account: bytes, half: Key) -> Key:
    return Key(hmac.digest(of_account, half.secret, "sha256"), half.uid_validity)


def _parse(note: bytes) -> dict[str, Key]:
    """The halves by user ("": the owner); a damaged note has none, so that its URLs are revoked."""
    halves: dict[str, Key] = {}
    try:
        for user, (secret, uid_validity) in json.loads(note or b"{}").items():
            half = Key(bytes.fromhex(secret), int(uid_validity))
            if len(half.secret) == SIZE:
                halves[user] = half
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return halves


def _serialize(halves: dict[str, Key]) -> bytes:
    return json.dumps({user: (half.secret.hex(), half.uid_validity) for user, half in sorted(halves.items())}).encode()
