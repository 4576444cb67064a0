"""A child of the parent: one owner's rights, confined to the mailboxes, delivering batches (see `crew`).

It holds no log, and of the queue nothing but copies of messages: what it has to say goes to the parent, which logs the
results itself and knows what they can be.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final, NoReturn

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import SOFT_BOUNCE
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE
from pillarbox.lib.delivery.request import DeliveryRequest, parse_request
from pillarbox.lib.hosted.mailboxes import Found, Place, Placing, refuse_loop
from pillarbox.lib.hosted.owners import MailboxOwner
from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.process.agents import reply_frame
from pillarbox.lib.process.children import leave_parent
from pillarbox.lib.sieve_box import site
from pillarbox.lib.store.reach import reach
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.libc import set_not_dumpable
from pillarbox.lib.system.privileges import drop_privileges
from pillarbox.virtual.delivery import VirtualDelivery

LINES_PER_FRAME: Final = 10
"""Lines of the log that fit into a frame, whatever they are."""


class Named:
    """The mailboxes that the parent names."""

    def __init__(self, config: Config) -> None:
        self._placing = Placing(config, apart=True)
        self._found: dict[str, Found] = {}

    def learn(self, requests: list[tuple[DeliveryRequest, list[Found]]]) -> None:
        """Those of a batch, in place of the last one's."""
        self._found = {
            recipient.address: found
            for request, places in requests
            for recipient, found in zip(request.recipients, places, strict=True)
        }

    def find(self, address: str, visited: frozenset[bytes]) -> Place:
        """See `Mailboxes.find`."""
        refuse_loop(address, visited)
        return self._placing.place(self._found[address])


def live(theirs: socket.socket, config: Config, owner: MailboxOwner, *, confine: bool) -> NoReturn:
    """The life of a child, behind the fork."""
    status = 1
    try:
        channel = leave_parent(theirs)
        lines: list[str] = []
        log.send_texts(lines.append)
        try:
            become(config, owner, confine=confine)
            serve(channel, config, lines)
        except ChannelClosed:
            status = 0
        except Exception as error:  # the parent, which waits for a report, writes it down
            _send_lines(channel, lines)
            channel.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)


def become(config: Config, owner: MailboxOwner, *, confine: bool) -> None:
    """Give up the parent's rights: be the owner, with the mailboxes and the site's scripts in reach, and no more."""
    drop_privileges(owner.uid, owner.gid)
    set_not_dumpable()
    os.umask(0o077)
    if confine:
        confinement(config).apply()


def confinement(config: Config) -> Confinement:
    """No socket but the one to the parent and those that come over it."""
    stores = reach(config)
    return Confinement(
        read=(*site.directories(config), *stores.read),
        write=(config[VIRTUAL_MAILBOX_BASE],),
        connect_tcp=stores.ports,
        udp=stores.udp,
        fork=False,
        unix=stores.unix,
    )


def serve(channel: Channel, config: Config, lines: list[str]) -> None:
    """Deliver batch after batch; `lines` is where the log gathers.  Raises ChannelClosed."""

    def connect(path: str, timeout: float) -> Channel:
        channel.send({"connect": True})
        reply = channel.receive()
        if not reply.boolean("connected"):
            raise ChannelClosed(reply.text("why"))
        connection = socket.socket(fileno=reply.fds[0])
        connection.settimeout(timeout)
        return Channel(connection)

    mailboxes = Named(config)
    delivery = VirtualDelivery(config, mailboxes, connect, report=lambda *_: None)
    soft = config[SOFT_BOUNCE]
    while True:
        batch = list(_batch(channel, soft))
        try:
            mailboxes.learn(batch)
            for request, results, _ in delivery.deliver([request for request, _ in batch]):
                _send_lines(channel, lines)
                channel.send_raw(reply_frame(request, results, ""))
        finally:
            for request, _ in batch:
                request.close()


def _send_lines(channel: Channel, lines: list[str]) -> None:
    while lines:
        channel.send({"log": lines[:LINES_PER_FRAME]})
        del lines[:LINES_PER_FRAME]


def _batch(channel: Channel, soft_bounce: bool) -> Iterator[tuple[DeliveryRequest, list[Found]]]:
    more = True
    while more:
        frame = channel.receive()
        more = frame.boolean("more")
        places = [
            Found(
                place.text("path"),
                place.boolean("is_maildir"),
                place.text("extension"),
                place.text("quota"),
                place.text("location"),
            )
            for place in frame.groups("places")
        ]
        yield parse_request(frame, frame.number("taken"), soft_bounce=soft_bounce), places
