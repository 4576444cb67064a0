"""The service `virtual`.

Where all mailboxes belong to `vmail_owner` it is that user, and delivers itself.  Where virtual_uid_maps may give
others it is a root parent, whose children deliver as the owners (`parent`, `child`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.quota import DOMAIN_QUOTA, DOMAIN_QUOTA_MAPS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_BATCH_LIMIT, VIRTUAL_MAILBOX_BASE
from pillarbox.lib.hosted.mailboxes import Mailboxes
from pillarbox.lib.hosted.owners import owners_differ
from pillarbox.lib.process import Program, Worker, serve_agent, serve_async_agent
from pillarbox.lib.sieve_box import site
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement
from pillarbox.virtual.delivery import VirtualDelivery
from pillarbox.virtual.parent import ParentDelivery

BATCHES = 4
"""Batches of as many owners that a parent has under way."""


def confinement(config: Config) -> Confinement:
    """The mailboxes to write, the sockets of lookup, cleanup and the queue manager to talk to, the site's Sieve scripts
    to read, nothing else."""
    stores = reach(config)
    return Confinement(
        read=(f"{config[QUEUE_DIRECTORY]}/private", *site.directories(config), *stores.read),
        write=(config[VIRTUAL_MAILBOX_BASE],),
        connect_tcp=stores.ports,
        udp=stores.udp,
        fork=False,
    )


def run(worker: Worker) -> None:
    """Serve until stopped."""
    config = worker.config
    if worker.is_parent:
        parent = ParentDelivery(config, confine=worker.service.confine)
        serve_async_agent(worker, parent.deliver, capacity=BATCHES * config[VIRTUAL_BATCH_LIMIT])
        parent.close()
        return
    os.umask(0o077)
    delivery = VirtualDelivery(config, Mailboxes(config, LookupClient(config)))
    serve_agent(worker, delivery.deliver, capacity=config[VIRTUAL_BATCH_LIMIT])


def mistakes(config: Config) -> Iterator[str]:
    """What would make mail wait, or have no effect."""
    yield from site.mistakes(config)
    if owners_differ(config) and (config[DOMAIN_QUOTA] or config[DOMAIN_QUOTA_MAPS]):
        yield "domain_quota has no effect where virtual_uid_maps gives a domain's mailboxes to several users"


PROGRAM = Program(
    name="virtual",
    owner="vmail_owner",
    confinement=confinement,
    parent=owners_differ,
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    callers=("mail_owner",),
    mistakes=mistakes,
)
