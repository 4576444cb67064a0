"""System users, from the machine's user database (passwd and what NSS adds)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A system user; `groups` are all of the user's groups, `gid` included."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: tuple[int, ...] = ()


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
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid) if os.geteuid() == 0 else [entry.pw_gid]
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell, tuple(groups))
