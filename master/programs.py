"""Finding the program that a service names, and who may connect to it."""

from __future__ import annotations

import os
from itertools import permutations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import (
    AUTH_OWNER,
    LOOKUP_OWNER,
    MAIL_OWNER,
    NET_OWNER,
    VMAIL_OWNER,
)
from pillarbox.lib.process import Program
from pillarbox.lib.process.program import load_program
from pillarbox.lib.process.worker import suite_groups
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity
from pillarbox.master.sockets import GROUP_MODE, OPEN_MODE, OWNER_MODE

__all__ = ["load_program", "socket_owners"]

OWNERS = (MAIL_OWNER, NET_OWNER, LOOKUP_OWNER, AUTH_OWNER, VMAIL_OWNER)
"""Whom programs run as."""


def socket_owners(program: Program, config: Config) -> tuple[int, int, int]:
    """Owner, group and mode of a program's private socket: nobody but its callers may connect, in whatever order they
    are named.

    A second caller connects by its group, so that must be one that no other user of the suite has: not that of
    mail_owner, which all have.  Raises PrivilegeError where no caller has such a group.  Where master.yaml gives one of
    the callers another user, all programs of the suite may connect.
    """
    if os.getuid() != 0:
        return -1, -1, OPEN_MODE
    moved = {load_program(service.command).owner for service in config.services.values() if service.user}
    if not program.callers or moved & set(program.callers):
        identity = resolve_identity(config[MAIL_OWNER])
        return identity.uid, identity.gid, OPEN_MODE
    callers = {name: resolve_identity(str(config.expanded(name))) for name in program.callers}
    identities = list(callers.values())
    if len({identity.uid for identity in identities}) == 1:
        return identities[0].uid, identities[0].gid, OWNER_MODE
    shared = {*suite_groups(config)}
    shared |= {resolve_identity(config[owner]).gid for owner in OWNERS if owner.name not in callers}
    for owner, member in permutations(identities, 2):
        if member.gid not in shared:
            return owner.uid, member.gid, GROUP_MODE
    raise PrivilegeError(
        f"{' and '.join(callers)}: each shares its group with other users of the suite, who could then connect to "
        f"{program.name}, too; give them groups of their own"
    )
