"""The session program of ManageSieve for hosted accounts: the mailbox owner, confined to the mailboxes."""

from __future__ import annotations

from functools import partial

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.process import Program
from pillarbox.lib.process.sessions import serve_in_threads
from pillarbox.lib.sieve_box import site
from pillarbox.lib.system.confinement import Confinement
from pillarbox.managesieved.session.service import SESSIONS


def confinement(config: Config) -> Confinement:
    """The mailboxes, in which the scripts are; those of the site, which others include; and UNIX sockets to auth."""
    return Confinement(read=site.directories(config), write=(config[VIRTUAL_MAILBOX_BASE],), fork=False)


PROGRAM = Program(
    name="managesieve",
    owner="vmail_owner",
    confinement=confinement,
    run=partial(serve_in_threads, SESSIONS),
    callers=("net_owner",),
    retires=True,
)
