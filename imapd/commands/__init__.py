"""The commands of a session, one file each; APPEND, whose message is not in the command, is led by the loop.

A module that only adds options to other commands stands in the list too (`commands.options`).
"""

from __future__ import annotations

from types import ModuleType

from pillarbox.imapd.commands import (
    acl,
    append,
    cancelupdate,
    capability,
    check,
    close,
    compress,
    condstore,
    copy,
    create,
    delete,
    deleteacl,
    enable,
    esearch,
    examine,
    expunge,
    fetch,
    getacl,
    getmetadata,
    getquota,
    getquotaroot,
    id,
    idle,
    list,
    listrights,
    logout,
    lsub,
    metadata,
    move,
    myrights,
    namespace,
    noop,
    notify,
    options,
    partial,
    qresync,
    quota,
    relevancy,
    rename,
    rev2,
    search,
    searchres,
    select,
    setacl,
    setmetadata,
    setquota,
    sort,
    status,
    store,
    subscribe,
    thread,
    unselect,
    unsubscribe,
)
from pillarbox.imapd.commands.command import Command
from pillarbox.imapd.fetch import MODULES as FETCH_MODULES
from pillarbox.imapd.protocol import capabilities
from pillarbox.imapd.search import MODULES as SEARCH_MODULES

MODULES: tuple[ModuleType, ...] = (
    acl,
    append,
    cancelupdate,
    capability,
    check,
    close,
    compress,
    condstore,
    copy,
    create,
    delete,
    deleteacl,
    enable,
    esearch,
    examine,
    expunge,
    fetch,
    getacl,
    getmetadata,
    getquota,
    getquotaroot,
    id,
    idle,
    list,
    listrights,
    logout,
    lsub,
    metadata,
    move,
    myrights,
    namespace,
    noop,
    notify,
    partial,
    qresync,
    quota,
    relevancy,
    rename,
    rev2,
    search,
    searchres,
    select,
    setacl,
    setmetadata,
    setquota,
    sort,
    status,
    store,
    subscribe,
    thread,
    unselect,
    unsubscribe,
)

COMMANDS: dict[bytes, Command] = {
    module.COMMAND.name.encode("ascii"): module.COMMAND for module in MODULES if hasattr(module, "COMMAND")
}

for _module in MODULES:
    options.register(_module)
capabilities.gather((*MODULES, *FETCH_MODULES, *SEARCH_MODULES))
