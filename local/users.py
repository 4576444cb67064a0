"""System users, from the machine's user database (passwd and what NSS adds)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A system user; `groups` are the groups that its processes have, None: all that the group database names."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: tuple[int, ...] | None = ()

    def all_groups(self) -> tuple[int, ...]:
        """The groups, looked up if need be: that takes longer than finding a user, and is for new processes only."""
        if self.groups is not None:
            return self.groups
        return tuple(os.getgrouplist(self.name, self.gid)) if os.geteuid() == 0 else (self.gid,)


def find_user(name: str) -> User | None:
    """The user of this name, None if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError, UnicodeError):
        return None
    return _user(entry)


def find_uid(uid: int) -> User | None:
    """The user of this number, None if there is none."""
    try:
        return _user(pwd.getpwuid(uid))
    except (KeyError, OverflowError):
        return None


def _user(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell, None)
