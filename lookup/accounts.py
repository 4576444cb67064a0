"""`accounts:` tables: the account database as a look-up table, through the auth service.

A key `user@domain` is found where a hosted account of that address exists, a key without `@` where any account exists
in that domain (`account_domains`).  Positive answers are kept for a moment; a new account is seen at once.

`logins:` has the login names that own an address: a hosted account its own, and in mydestination a system user who
may log in the one of that name.
"""

from __future__ import annotations

import threading

from pillarbox.lib.clients.auth import AuthClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE
from pillarbox.lib.config.parameters.lookup import LOOKUP_CACHE_TTL
from pillarbox.lib.tables import LookupFailed, Options, Registry, Table
from pillarbox.lib.tables.blocking import about_to_wait
from pillarbox.lib.tables.registry import Opener
from pillarbox.lookup.account_domains import AccountDomains

CACHE_LIMIT = 10_000
"""Positive answers kept; beyond it all are dropped."""


class AccountsTable(Table):
    """Asks the auth service.  May be used by several threads at once.

    With `logins` the values are login names, of system users too, and keys without `@` are not there.
    """

    def __init__(
        self,
        spec: str,
        options: Options,
        client: AuthClient,
        domains: AccountDomains,
        ttl: float,
        *,
        logins: bool = False,
    ) -> None:
        super().__init__(spec, options)
        self._logins = logins
        self._client = client
        self._domains = domains
        self._ttl = ttl
        self._known: dict[str, tuple[float, str]] = {}
        self.quotas: dict[str, str] = {}
        """The own quotas of accounts that were asked for."""
        self.locations: dict[str, str] = {}
        """Where the mail of accounts that were asked for lies, unless it is a Maildir in the usual place."""
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        key = self._folded(key)
        local, at, domain = key.rpartition("@")
        if (at and (not local or not domain)) or (self._logins and not at):
            return None  # "@domain": there is no account for all addresses
        if not at:
            found = self._domains.has(key) if "." in key else False
            if found is not None:
                return "hosted" if found else None
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
                self.quotas.clear()
                self.locations.clear()
            self._known[key] = (self.options.clock() + self._ttl, value)
        return value

    def _ask(self, key: str, is_address: bool) -> str | None:
        if not is_address:
            return "hosted" if self._domains.ask(key) else None
        account = self._client.account(key)
        if account is None or (account.system and not self._logins):
            return None
        location = account.mail if account.mail != f"maildir:{account.home}" and not account.system else ""
        for memory, value in ((self.quotas, account.quota), (self.locations, location)):
            if value:
                if len(memory) >= CACHE_LIMIT:
                    memory.clear()
                memory[key] = value
            else:
                memory.pop(key, None)
        return account.address

    def quota(self, key: str) -> str:
        """The account's own quota, "" where it or the account has none.  Raises LookupFailed, WouldBlock."""
        return self.quotas.get(self._folded(key), "") if self.get(key) is not None else ""

    def location(self, key: str) -> str:
        """Where the account's mail lies, "" for a Maildir in the usual place and for no account.

        Raises LookupFailed, WouldBlock.
        """
        return self.locations.get(self._folded(key), "") if self.get(key) is not None else ""


def register_accounts(registry: Registry, config: Config) -> None:
    """Make `accounts:` and `logins:` known; every such table shares one client and one memory."""
    shared: dict[str, AccountsTable] = {}

    def opener(kind: str) -> Opener:
        def open_accounts(spec: str, options: Options, registry: Registry) -> Table:
            if kind not in shared:
                client, ttl = AuthClient(config), config[LOOKUP_CACHE_TTL]
                domains = AccountDomains(config[AUTH_DATABASE], client)
                shared[kind] = AccountsTable(spec, options, client, domains, ttl, logins=kind == "logins")
            return shared[kind]

        return open_accounts

    for kind in ("accounts", "logins"):
        registry.register(kind, opener(kind))
