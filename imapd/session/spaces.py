"""What a hosted user's session has beside its own mailboxes: those of others and the public ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pillarbox.lib.accounts import mail_location
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.sharing import IMAP_ACL_GROUPS, IMAP_PUBLIC_ADMINS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.store import open_store
from pillarbox.lib.store.acl import Viewer
from pillarbox.lib.store.interface import Store
from pillarbox.lib.store.quota import FROM_FILE, QuotaPolicy
from pillarbox.lib.store.shared import SharedStore
from pillarbox.lib.store.sharing import Sharing


class Spaces:
    """The rules of one configuration."""

    def __init__(self, config: Config, quotas: QuotaPolicy) -> None:
        self._sharing = Sharing(config[VIRTUAL_MAILBOX_BASE].rstrip("/"), partial(mail_location, config))
        self._groups = config[IMAP_ACL_GROUPS] or {}
        self._admins = frozenset(admin.lower() for admin in config[IMAP_PUBLIC_ADMINS])
        # What another account's own limits are only its maildirsize file says here.
        self._quota = replace(quotas.session("", hosted=True), limits=None)

    def open(self, personal: Store, address: str) -> Store:
        """All that the account `address` may use.  Raises StoreError."""
        domain = "@" + address.rpartition("@")[2]
        groups = frozenset(name for name, members in self._groups.items() if members & {address, domain})
        admin = address in self._admins
        return SharedStore(personal, Viewer(address, groups), self._sharing, self._open, public_admin=admin)

    def _open(self, location: str, is_account: bool) -> Store:
        return open_store(location, self._quota if is_account else FROM_FILE)
