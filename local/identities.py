"""Whose rights a step has.  Decided here, in the parent: from the user database, from the owner of an `:include:` file
or of an alias table, never by what a child says.
"""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import DEFAULT_PRIVS
from pillarbox.lib.config.parameters.local import (
    DELIVER_LOCK_ATTEMPTS,
    DELIVER_LOCK_DELAY,
    HOME_MAILBOX,
    MAIL_SPOOL_DIRECTORY,
    MAILBOX_COMMAND,
    MAILBOX_DELIVERY_LOCK,
    STALE_LOCK_TIME,
)
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity
from pillarbox.lib.tables import STANDARD, TableError
from pillarbox.local.spool_file import ensure_spool_file, spool_lock
from pillarbox.local.steps import Message
from pillarbox.local.users import User, find_uid


class Identities:
    """The rules of one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._root = os.geteuid() == 0
        spool = config[MAIL_SPOOL_DIRECTORY]
        uses_spool = not (config[HOME_MAILBOX] or config[MAILBOX_COMMAND] or spool.endswith("/"))
        self._spool = spool if self._root and uses_spool else ""
        self._tables = config[ALIAS_MAPS]
        self._dot_locks = "dotlock" in config[MAILBOX_DELIVERY_LOCK]
        self._lock_timeout = config[DELIVER_LOCK_ATTEMPTS] * config[DELIVER_LOCK_DELAY]

    def of_user(self, user: User) -> User:
        """Who does this user's steps: the user, and in an unprivileged instance always the caller."""
        if self._root:
            return user
        me = caller()
        return User(user.name, me.uid, me.gid, user.home, user.shell)

    def of_include(self, owner: int) -> User:
        """Who reads an include file of this owner, which something of root's names, and does what it says; for one of
        root's `default_privs`."""
        return self._of_owner(owner)

    def of_forward(self, user: User) -> User | None:
        """Who reads the include files that a user's forward file names; None for root's: their owners."""
        return self.of_user(user) if user.uid else None

    def of_alias(self, table: int) -> User:
        """Who does what an alias says: the owner of the table that has it, number `table` of alias_maps; for one of
        root's, and one that has no file, `default_privs` (aliases(5))."""
        return self.owner_of_table(table) or default_user(self._config)

    def owner_of_table(self, table: int) -> User | None:
        """The owner of table number `table` of alias_maps where that is not root; None also where there is no file."""
        if not (self._root and 0 <= table < len(self._tables)):
            return None
        try:
            files = STANDARD.open(self._tables[table]).files()
            owners = {os.stat(file).st_uid for file in files}
        except (OSError, TableError):
            owners = set()
        owner = owners.pop() if len(owners) == 1 else 0
        return self._of_owner(owner) if owner else None

    def _of_owner(self, owner: int) -> User:
        if not self._root or owner == 0:
            return default_user(self._config)
        return find_uid(owner) or User(str(owner), owner, owner, "/", "/bin/sh")

    def mailbox_lock(self, user: User) -> AbstractAsyncContextManager[None] | None:
        """The lock of a user's mailbox where only root may make it; None where it is the user's own to make."""
        if not (self._spool and self._dot_locks):
            return None
        return spool_lock(self._spool, user, self._lock_timeout, self._config[STALE_LOCK_TIME])

    def prepare_mailbox(self, user: User, message: Message) -> None:
        """Make a user's mailbox file where only root may."""
        if self._spool and not message.report:
            ensure_spool_file(self._spool, user)


def default_user(config: Config) -> User:
    """The user `default_privs`, or the caller in an unprivileged instance.  Raises PrivilegeError."""
    if os.geteuid() != 0:
        return caller()
    identity = resolve_identity(config[DEFAULT_PRIVS])
    if identity.uid == 0:
        raise PrivilegeError("default_privs must not be root")
    return User(identity.name, identity.uid, identity.gid, "/", "/bin/sh")


def caller() -> User:
    """The user of this process."""
    uid = os.geteuid()
    return find_uid(uid) or User(str(uid), uid, os.getegid(), "/", "/bin/sh")
