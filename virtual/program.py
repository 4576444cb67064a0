"""The service `virtual`."""

from __future__ import annotations

import os

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.virtual import VIRTUAL_BATCH_LIMIT, VIRTUAL_MAILBOX_BASE
from pillarbox.lib.process import Program, Worker, serve_agent
from pillarbox.lib.sieve_box import site
from pillarbox.lib.system.confinement import Confinement
from pillarbox.virtual.delivery import VirtualDelivery


def confinement(config: Config) -> Confinement:
    """The mailboxes to write, the sockets of lookup, cleanup and the queue manager to talk to, the site's Sieve scripts
    to read, nothing else."""
    return Confinement(
        read=(f"{config[QUEUE_DIRECTORY]}/private", *site.directories(config)),
        write=(config[VIRTUAL_MAILBOX_BASE],),
        fork=False,
    )


def run(worker: Worker) -> None:
    """Serve until stopped."""
    os.umask(0o077)
    delivery = VirtualDelivery(worker.config, LookupClient(worker.config))
    serve_agent(worker, delivery.deliver, capacity=worker.config[VIRTUAL_BATCH_LIMIT])


PROGRAM = Program(
    name="virtual",
    owner="vmail_owner",
    confinement=confinement,
    run=run,
    callers=("mail_owner",),
    mistakes=site.mistakes,
)
