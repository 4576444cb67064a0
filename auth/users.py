"""Who a login name or an address means: a hosted account, a system user, or nobody.

A name with a domain is a hosted account first; where system users may log in, a name without one, or with one of
`mydestination`, is a system user.  Raises AccountsUnavailable when the database cannot be asked.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from typing import TypeAlias

from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountRow,
    BadAddress,
    mail_location,
    mailbox_directory,
    normalize_address,
)
from pillarbox.lib.address import normalize_domain
from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.clients.auth import Account
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DEFAULT_DOMAIN, AUTH_SYSTEM_MAIL, AUTH_SYSTEM_USERS
from pillarbox.lib.config.parameters.general import MYDESTINATION
from pillarbox.lib.config.parameters.local import HOME_MAILBOX, MAIL_SPOOL_DIRECTORY

FIRST_SYSTEM_UID = 1000
"""Below it are root and the users of services, who have no mail session (UID_MIN of login.defs(5))."""

NOBODY_UID = 65534

NAME_LIMIT = 320
"""Characters of a name that is no address: as many as the longest address has."""


@dataclass(frozen=True, slots=True)
class HostedUser:
    """A row of the database and the account that it describes."""

    account: Account
    row: AccountRow


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user of this machine."""

    account: Account
    name: str


User: TypeAlias = HostedUser | SystemUser


class UserDirectory:
    """Finds users.  `system_users` is off where the process cannot check their passwords."""

    def __init__(self, config: Config, database: AccountDatabase) -> None:
        self._config = config
        self._database = database
        self._default_domain = config[AUTH_DEFAULT_DOMAIN]
        self.system_users = config[AUTH_SYSTEM_USERS] != "no"
        self._local_domains = frozenset(normalize_domain(domain) for domain in config[MYDESTINATION])

    def find(self, name: str) -> User | None:
        """The user with this login name or address."""
        if "@" not in name and self._default_domain:
            if user := self._hosted(f"{name}@{self._default_domain}"):
                return user
        elif user := self._hosted(name):
            return user
        return self._system(name) if self.system_users else None

    def spelling(self, name: str) -> str:
        """A claimed name in the one spelling that it has, whether there is such a user or not."""
        full = f"{name}@{self._default_domain}" if "@" not in name and self._default_domain else name
        try:
            return normalize_address(full)
        except BadAddress:
            return name.lower()[:NAME_LIMIT]

    def has_domain(self, domain: str) -> bool:
        """Whether there are hosted accounts in a domain."""
        return self._database.has_domain(normalize_domain(domain))

    def domains(self, after: str, limit: int) -> list[str]:
        """The first domains with hosted accounts behind `after`, in order."""
        return self._database.domains(after, limit)

    def _hosted(self, name: str) -> HostedUser | None:
        try:
            address = normalize_address(name)
        except BadAddress:
            return None
        row = self._database.lookup(address)
        if row is None:
            return None
        home = mailbox_directory(self._config, address)
        mail = mail_location(self._config, address, row.location)
        return HostedUser(Account(address, None, None, home, mail, False, row.quota), row)

    def _system(self, name: str) -> SystemUser | None:
        local, domain = split_address(name) if "@" in name else (name, "")
        if domain and normalize_domain(domain) not in self._local_domains:
            return None
        try:
            entry = pwd.getpwnam(unquote_local(local))
        except (KeyError, ValueError, UnicodeEncodeError):
            return None
        if entry.pw_uid < FIRST_SYSTEM_UID or entry.pw_uid == NOBODY_UID:
            return None
        mail = self._system_mail(entry.pw_name, entry.pw_dir)
        account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, mail, True)
        return SystemUser(account, entry.pw_name)

    def _system_mail(self, name: str, home: str) -> str:
        if location := self._config[AUTH_SYSTEM_MAIL]:
            return location.replace("%u", name).replace("%h", home)
        # local(8): a trailing slash asks for a Maildir, anything else is an mbox file; folders then lie in ~/mail.
        mailbox = f"{home}/{self._config[HOME_MAILBOX]}"
        if not self._config[HOME_MAILBOX]:
            mailbox = f"{self._config[MAIL_SPOOL_DIRECTORY]}"
            mailbox = f"{mailbox}{name}/" if mailbox.endswith("/") else f"{mailbox}/{name}"
        return f"maildir:{mailbox[:-1]}" if mailbox.endswith("/") else f"mbox:{home}/mail:INBOX={mailbox}"
