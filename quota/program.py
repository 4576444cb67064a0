"""The program: one question at a time, each a look at two small files, or at some rows of a database."""

from __future__ import annotations

import os
from contextlib import closing

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.clients.quota import ADDRESS_LIMIT
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.quota import DOMAIN_QUOTA, DOMAIN_QUOTA_MAPS, MAILBOX_QUOTA, MAILBOX_QUOTA_MAPS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.hosted.mailboxes import Mailboxes
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.store import open_store
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import INBOX, StoreError
from pillarbox.lib.store.reach import load_stores, reach
from pillarbox.lib.system.confinement import Confinement


def answer(mailboxes: Mailboxes, request: Attributes) -> dict[str, object]:
    """The reply to one question.  Raises ProtocolError.

    What cannot be said now is no reason to refuse: delivery looks again.
    """
    address, size = request.text("address"), request.integer("size")
    if request.text("do") != "room" or not 0 < len(address) <= ADDRESS_LIMIT or size < 0:
        raise ProtocolError("a question about the room for a message was expected")
    try:
        place = mailboxes.find(address, frozenset())
        if not place.is_maildir:
            return {"ok": True, "full": "", "temporary": False}
        with closing(open_store(place.location or f"maildir:{place.path}", place.quota)) as store:
            full = store.lacks(place.folder or INBOX, size)
        return {"ok": True, "full": full, "temporary": place.quota.tempfail}
    except DeliveryFailure as failure:
        return {"ok": False, "why": failure.text}
    except (OSError, StoreError) as error:
        log.warning(f"quota of {address}: {error}")
        return {"ok": False, "why": "the mailbox cannot be looked at"}


async def serve(mailboxes: Mailboxes, channel: AsyncChannel) -> None:
    """Answer on one connection until it ends.  Raises ChannelClosed, ProtocolError."""
    while True:
        request = await channel.receive()
        await channel.send({"tag": request.integer("tag", 0), **answer(mailboxes, request)})


def confinement(config: Config) -> Confinement:
    """The mailboxes, where a count may have to be written anew, the servers of databases that hold some, and the socket
    of lookup."""
    stores = reach(config)
    return Confinement(
        read=(f"{config[QUEUE_DIRECTORY]}/private", *stores.read),
        write=(config[VIRTUAL_MAILBOX_BASE],),
        connect_tcp=stores.ports,
        udp=stores.udp,
        fork=False,
    )


def needed(config: Config) -> bool:
    """Whether there are quotas but those of single accounts, for which a process is started when it is asked."""
    limits, tables = (MAILBOX_QUOTA, DOMAIN_QUOTA), (MAILBOX_QUOTA_MAPS, DOMAIN_QUOTA_MAPS)
    return any(config[each] for each in limits) or any(config[each] for each in tables)


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    os.umask(0o077)
    mailboxes = Mailboxes(worker.config, LookupClient(worker.config))
    serve_channels(worker, lambda channel: serve(mailboxes, channel))


PROGRAM = Program(
    name="quota",
    owner="vmail_owner",
    confinement=confinement,
    run=run,
    prepare=lambda worker: load_stores(worker.config),
    needed=needed,
    callers=("net_owner",),
)
