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
from pillarbox.lib.hosted.place import UnusableAddress, default_place, mapped_place, split_address
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import BadMailboxName
from pillarbox.lib.store.maildir.directories import folder_directory
from pillarbox.lib.store.quota import FROM_FILE, HOSTED, Quota, QuotaPolicy
from pillarbox.lib.tables.errors import LookupFailed

_ACCOUNTS: Final = ("accounts:",)
"""virtual_mailbox_maps of this value has no paths: every mailbox lies at its default place."""

FOLDERS_BY_ADDRESS: Final = 100
"""Directories that a mailbox may have before the address alone makes no more folders: senders choose addresses."""


class Place(NamedTuple):
    """Where a recipient's mail goes."""

    path: str
    is_maildir: bool
    folder: str = ""
    """The folder that the address names; "" for INBOX."""
    quota: Quota = FROM_FILE


class Mailboxes:
    """The mailboxes of one configuration."""

    def __init__(self, config: Config, lookup: LookupClient) -> None:
        self._lookup = lookup
        self._base = config[VIRTUAL_MAILBOX_BASE].rstrip("/")
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._detail = config[SAVE_TO_DETAIL_MAILBOX]
        self._quotas = QuotaPolicy(config)
        self._mapped = config[VIRTUAL_MAILBOX_MAPS] not in ((), _ACCOUNTS)

    def find(self, address: str, visited: frozenset[bytes]) -> Place:
        """The mailbox; `visited` is what `delivered_to` says of the message.  Raises DeliveryFailure."""
        if has_visited(visited, address):
            raise DeliveryFailure("5.4.6", f"mail forwarding loop for {address}")
        try:
            verdict = self._lookup.recipient(address)
            if verdict.status != "ok":
                if verdict.status == "error" and not verdict.dsn.startswith("5"):
                    raise DeliveryFailure(verdict.dsn, verdict.text)
                raise DeliveryFailure("5.1.1", f'unknown user: "{address}"')
            local, domain, extension = split_address(address, self._delimiters)
            value = self._mapped_value(address, local, domain) if self._mapped else None
            place = mapped_place(value) if value is not None and "/" in value else default_place(local, domain)
        except LookupFailed as error:
            raise DeliveryFailure("4.3.0", f"mailbox lookup failure: {error}") from error
        except UnusableAddress as error:
            raise DeliveryFailure("5.1.3", f"bad mailbox address: {error}") from error
        if not place.endswith("/"):
            return Place(f"{self._base}/{place}", False)
        path = f"{self._base}/{place[:-1]}"
        folder = extension if extension and self._detail != "no" and self._has_folder(path, extension) else ""
        quota = self._quotas.granted(verdict.quota) if verdict.quota else HOSTED
        return Place(path, True, folder, quota)

    def _mapped_value(self, address: str, local: str, domain: str) -> str | None:
        """What virtual_mailbox_maps gives: for user+extension@domain, user@domain, @domain (virtual(8))."""
        for key in dict.fromkeys((address, f"{local}@{domain}", f"@{domain}")):
            value = self._lookup.get(VIRTUAL_MAILBOX_MAPS.name, key)
            if value is not None:
                return value
        return None

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
