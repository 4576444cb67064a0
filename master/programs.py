"""Finding the program that a service names, and who may connect to it."""

from __future__ import annotations

import os

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_OWNER
from pillarbox.lib.process import Program
from pillarbox.lib.process.program import load_program
from pillarbox.lib.system.privileges import resolve_identity
from pillarbox.master.sockets import GROUP_MODE, OPEN_MODE, OWNER_MODE

__all__ = ["load_program", "socket_owners"]


def socket_owners(program: Program, config: Config) -> tuple[int, int, int]:
    """Owner, group and mode of a program's private socket: who owns it and, for a second caller, its group connect.

    Where master.yaml gives one of the callers another user, all programs of the suite may connect.
    """
    if os.getuid() != 0:
        return -1, -1, OPEN_MODE
    moved = {load_program(service.command).owner for service in config.services.values() if service.user}
    if not program.callers or moved & set(program.callers):
        identity = resolve_identity(config[MAIL_OWNER])
        return identity.uid, identity.gid, OPEN_MODE
    callers = [resolve_identity(str(config.expanded(name))) for name in program.callers]
    return callers[0].uid, callers[-1].gid, OWNER_MODE if len(callers) == 1 else GROUP_MODE
