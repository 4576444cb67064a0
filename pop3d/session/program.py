"""The session program of POP3 for hosted accounts: the mailbox owner, confined to the mailboxes."""

from __future__ import annotations

from functools import partial

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.process import Program
from pillarbox.lib.process.sessions import serve_in_threads
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement
from pillarbox.pop3d.session.service import SESSIONS


def confinement(config: Config) -> Confinement:
    """The mailboxes, and UNIX sockets to auth."""
    stores = reach(config)
    return Confinement(
        read=stores.read,
        write=(config[VIRTUAL_MAILBOX_BASE],),
        connect_tcp=stores.ports,
        udp=stores.udp,
        fork=False,
    )


PROGRAM = Program(
    name="pop3",
    owner="vmail_owner",
    confinement=confinement,
    run=partial(serve_in_threads, SESSIONS),
    prepare=lambda worker: load_stores(worker.config),
    callers=("net_owner",),
    retires=True,
)
