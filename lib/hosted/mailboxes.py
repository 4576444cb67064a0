"""Finding a recipient's mailbox: does it exist, and where does it lie."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import VIRTUAL_MAILBOX_MAPS
from pillarbox.lib.config.parameters.virtual import SAVE_TO_DETAIL_MAILBOX, VIRTUAL_MAILBOX_BASE
from pillarbox.lib.delivery.delivered import has_visited
from pillarbox.lib.hosted.place import Parts, UnusableAddress, default_place, map_keys, mapped_place, split_address
from pillarbox.lib.hosted.search import Question, Search, ask
from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import from_store_error
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import BadMailboxName, StoreError
from pillarbox.lib.store.maildir.directories import folder_directory
from pillarbox.lib.store.quota import FROM_FILE, Quota, QuotaPolicy
from pillarbox.lib.tables.errors import LookupFailed

_ACCOUNTS: Final = ("accounts:",)
"""virtual_mailbox_maps of this value has no paths: every mailbox lies at its default place."""

FOLDERS_BY_ADDRESS: Final = 100
"""Directories that a mailbox may have before the address alone makes no more folders: senders choose addresses."""


class Found(NamedTuple):
    """What lookup knows of a recipient's mailbox."""

    path: str
    is_maildir: bool
    extension: str = ""
    """The folder that the address may name."""
    quota: str = ""
    """What lookup grants (`lib.store.quota`)."""
    location: str = ""
    """The store of the mail (`lib.store.kinds`), where that is no Maildir at `path`; `path` is then the home."""


class Place(NamedTuple):
    """Where a recipient's mail goes."""

    path: str
    is_maildir: bool
    folder: str = ""
    """The folder that the address names; "" for INBOX."""
    quota: Quota = FROM_FILE
    location: str = ""
    """As of `Found`."""


class Finding:
    """The rules of one configuration by which lookup's answers become a place; sees no file."""

    def __init__(self, config: Config) -> None:
        self._base = config[VIRTUAL_MAILBOX_BASE].rstrip("/")
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._detail = config[SAVE_TO_DETAIL_MAILBOX] != "no"
        self._mapped = config[VIRTUAL_MAILBOX_MAPS] not in ((), _ACCOUNTS)

    def search(self, address: str) -> Search[Found]:
        """The mailbox of a recipient.  Raises DeliveryFailure."""
        try:
            verdict = yield Question("", address)
            if verdict.status != "ok":
                if verdict.status == "error" and not verdict.dsn.startswith("5"):
                    raise DeliveryFailure(verdict.dsn, verdict.text)
                raise DeliveryFailure("5.1.1", f'unknown user: "{address}"')
            parts = split_address(address, self._delimiters)
            value = (yield from self._mapped_value(address, parts)) if self._mapped else None
            if value is not None and "/" in value:
                place = mapped_place(value)
            else:
                place = default_place(parts.local, parts.domain)
        except LookupFailed as error:
            raise DeliveryFailure("4.3.0", f"mailbox lookup failure: {error}") from error
        except UnusableAddress as error:
            raise DeliveryFailure("5.1.3", f"bad mailbox address: {error}") from error
        if not place.endswith("/"):
            return Found(f"{self._base}/{place}", False)
        location = verdict.location if value is None or "/" not in value else ""
        extension = parts.extension if self._detail else ""
        return Found(f"{self._base}/{place[:-1]}", True, extension, verdict.quota, location)

    def _mapped_value(self, address: str, parts: Parts) -> Search[str | None]:
        """What virtual_mailbox_maps gives."""
        for key in map_keys(address, parts):
            value: str | None = yield Question(VIRTUAL_MAILBOX_MAPS.name, key)
            if value is not None:
                return value
        return None


class Placing:
    """What only the mailbox's owner can see of its place."""

    def __init__(self, config: Config, *, apart: bool = False) -> None:
        """`apart` is for `QuotaPolicy`."""
        self._detail = config[SAVE_TO_DETAIL_MAILBOX]
        self._quotas = QuotaPolicy(config, apart=apart)

    def place(self, found: Found) -> Place:
        """The place; a folder is named where there is one, or one may be made.  Raises DeliveryFailure."""
        if not found.is_maildir:
            return Place(found.path, False)
        quota = self._quotas.granted(found.quota)
        if found.location:
            folder = found.extension if found.extension and self._store_has(found.location, found.extension) else ""
        else:
            folder = found.extension if found.extension and self._has_folder(found.path, found.extension) else ""
        return Place(found.path, True, folder, quota, found.location)

    def _store_has(self, location: str, folder: str) -> bool:
        try:
            store = open_store(location)
            try:
                if store.exists(folder):
                    return True
                return self._detail == "create" and len(store.list()) < FOLDERS_BY_ADDRESS
            finally:
                store.close()
        except BadMailboxName:
            return False
        except StoreError as error:
            raise from_store_error(error, "cannot look for the folder", tempfail=True) from error

    def _has_folder(self, maildir: str, folder: str) -> bool:
        """Whether mail may go to this folder: it exists, or may be made."""
        try:
            name = folder_directory(folder)
        except BadMailboxName:
            return False
        if not name or os.path.isdir(f"{maildir}/{name}"):
            return True
        if self._detail != "create":
            return False
        try:
            return sum(entry.startswith(".") for entry in os.listdir(maildir)) < FOLDERS_BY_ADDRESS
        except OSError:
            return True


class Mailboxes:
    """The mailboxes of one configuration, for their owner."""

    def __init__(self, config: Config, lookup: LookupClient) -> None:
        self._lookup = lookup
        self._finding = Finding(config)
        self._placing = Placing(config)

    def find(self, address: str, visited: frozenset[bytes]) -> Place:
        """The mailbox; `visited` is what `delivered_to` says of the message.  Raises DeliveryFailure."""
        refuse_loop(address, visited)
        return self._placing.place(ask(self._finding.search(address), self._lookup))


def refuse_loop(address: str, visited: frozenset[bytes]) -> None:
    """Raises DeliveryFailure for a message that was delivered to `address` before."""
    if has_visited(visited, address):
        raise DeliveryFailure("5.4.6", f"mail forwarding loop for {address}")
