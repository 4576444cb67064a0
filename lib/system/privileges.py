"""Becoming another user for good.

Promises: after `drop_privileges` returns, all uids and gids are the asked ones, there are no supplementary groups
but the asked ones, no capability is left in any set, and going back was tried and failed.  Anything else raises
`PrivilegeError`: the caller must end, not go on.
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pillarbox.lib.system.libc import MACHINE, prctl, system_call
from pillarbox.lib.system.system_calls import ARCHITECTURES, number

_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
HIGHEST_ID = 0xFFFFFFFE
"""The highest uid or gid: 0xFFFFFFFF means "leave as it is" to the kernel."""


class PrivilegeError(Exception):
    """Rights could not be given up, or an owner's name means nothing here."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A uid and gid to run as; `name` is for messages and may be a number."""

    name: str
    uid: int
    gid: int


def resolve_identity(text: str) -> Identity:
    """Read `user`, `user:group`, `1234` or `1234:1234`.

    A number needs no passwd entry; its group is then the same number unless an entry or the text says otherwise.
    Raises PrivilegeError with a sentence for the administrator.
    """
    user, colon, group = text.partition(":")
    uid, gid = _user_ids(user)
    if colon:
        gid = _group_id(group)
    return Identity(text, uid, gid)


def _user_ids(user: str) -> tuple[int, int]:
    if user.isascii() and user.isdigit():
        uid = _checked_id(user)
        try:
            return uid, pwd.getpwuid(uid).pw_gid
        except KeyError:
            return uid, uid
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise PrivilegeError(f"no such user: {user!r}: create it, or give a numeric uid") from None
    return entry.pw_uid, entry.pw_gid


def _group_id(group: str) -> int:
    if group.isascii() and group.isdigit():
        return _checked_id(group)
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise PrivilegeError(f"no such group: {group!r}: create it, or give a numeric gid") from None


def _checked_id(digits: str) -> int:
    if len(digits) > 10 or int(digits) > HIGHEST_ID:
        raise PrivilegeError(f"numeric id out of range: {digits[:20]}")
    return int(digits)


def drop_privileges(uid: int, gid: int, groups: Iterable[int] = ()) -> None:
    """Become `uid`:`gid` with only `groups`, without capabilities, irrevocably.

    Started as an ordinary user this is allowed only for one's own ids and then just verifies.
    """
    if os.geteuid() != 0:
        if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
            raise PrivilegeError(f"cannot become uid {uid}, gid {gid}: started as uid {os.geteuid()}, not as root")
        _drop_capabilities()
        return
    try:
        _drop_bounding_set()
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become uid {uid}, gid {gid}: {error.strerror}") from error
    if uid != 0:
        _drop_capabilities()
    _verify(uid, gid, tuple(groups))


def _drop_bounding_set() -> None:
    """Empty the set that limits what any later exec could give back (capabilities(7))."""
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl("capability bounding set", _PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # past the last capability that this kernel knows
            if error.errno == errno.EPERM:
                return  # a container without CAP_SETPCAP; no_new_privs makes up for it
            raise


def _drop_capabilities() -> None:
    try:
        prctl("ambient capabilities", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        if MACHINE in ARCHITECTURES:
            header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
            system_call("capset", number("capset", MACHINE), header, ctypes.create_string_buffer(24))
    except OSError as error:
        raise PrivilegeError(f"cannot drop capabilities: {error.strerror}") from error


def _verify(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise PrivilegeError(f"the kernel did not keep uid {uid}, gid {gid}")
    if set(os.getgroups()) - {gid, *groups}:
        raise PrivilegeError("supplementary groups were not dropped")
    if uid == 0:
        return
    for attempt in (os.seteuid, os.setuid):
        try:
            attempt(0)
        except OSError:
            continue
        raise PrivilegeError(f"uid {uid} could become root again")
