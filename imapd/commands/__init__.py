"""The commands of a session, one file each; APPEND, whose message is not in the command, is led by the loop."""

from __future__ import annotations

from pillarbox.imapd.commands import (
    capability,
    check,
    close,
    copy,
    create,
    delete,
    enable,
    examine,
    expunge,
    fetch,
    id,
    idle,
    list,
    logout,
    lsub,
    move,
    namespace,
    noop,
    rename,
    search,
    select,
    status,
    store,
    subscribe,
    unselect,
    unsubscribe,
)
from pillarbox.imapd.commands.command import Command

_MODULES = (
    capability,
    check,
    close,
    copy,
    create,
    delete,
    enable,
    examine,
    expunge,
    fetch,
    id,
    idle,
    list,
    logout,
    lsub,
    move,
    namespace,
    noop,
    rename,
    search,
    select,
    status,
    store,
    subscribe,
    unselect,
    unsubscribe,
)

COMMANDS: dict[bytes, Command] = {module.COMMAND.name.encode("ascii"): module.COMMAND for module in _MODULES}
