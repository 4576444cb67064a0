"""`accounts:` tables: the account database as a look-up table, through the auth service.

A key `user@domain` is found where a hosted account of that address exists, a key without `@` where any account exists
in that domain.  Positive answers are kept for a moment; a new account is seen at once.
"""

from __future__ import annotations

import threading

from pillarbox.lib.clients.auth import AuthClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.lookup import LOOKUP_CACHE_TTL
from pillarbox.lib.tables import LookupFailed, Options, Registry, Table
from pillarbox.lib.tables.blocking import about_to_wait

CACHE_LIMIT = 10_000
"""Positive answers kept; beyond it all are dropped."""


class AccountsTable(Table):
    """Asks the auth service.  May be used by several threads at once."""

    def __init__(self, spec: str, options: Options, client: AuthClient, ttl: float) -> None:
        super().__init__(spec, options)
        self._client = client
        self._ttl = ttl
        self._known: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        key = self._folded(key)
        local, at, domain = key.rpartition("@")
        if at and (not local or not domain):
            return None  # "@domain": there is no account for all addresses
        kept = self._known.get(key)
        if kept is not None and kept[0] > self.options.clock():
            return kept[1]
        about_to_wait()
        try:
            with self._lock:
                value = self._ask(key, bool(at))
        except ServiceUnavailable as error:
            raise LookupFailed(f"table {self.spec}: {error}") from None
        if value is not None and self._ttl > 0:
            if len(self._known) >= CACHE_LIMIT:
                self._known.clear()
            self._known[key] = (self.options.clock() + self._ttl, value)
        return value

    def _ask(self, key: str, is_address: bool) -> str | None:
        if not is_address:
            return "hosted" if "." in key and self._client.domain(key) else None
        account = self._client.account(key)
        return None if account is None or account.system else account.address


def register_accounts(registry: Registry, config: Config) -> None:
    """Make `accounts:` known; every such table shares one client and one memory."""
    shared: list[AccountsTable] = []

    def open_accounts(spec: str, options: Options, registry: Registry) -> Table:
        if not shared:
            shared.append(AccountsTable(spec, options, AuthClient(config), config[LOOKUP_CACHE_TTL]))
        return shared[0]

    registry.register("accounts", open_accounts)
