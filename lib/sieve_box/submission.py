"""Sending what scripts send: through cleanup, like all new mail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.delivery import Content
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.sieve_box.content import split
from pillarbox.lib.sieve_box.plan import Outgoing

SENT_ON, WRITTEN = "local", "sieve"
"""Where new mail came from, for cleanup: what is sent on is like what a forward file sends on."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender asked of the way of a message that is sent on, and where it came from."""

    original: str = ""
    orcpt: str = ""
    notify: tuple[str, ...] = ()
    envid: str = ""
    ret: str = ""
    deliver_by: str = ""
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


class Submission:
    """Sends mail over one client of cleanup.  `clock` gives seconds since the epoch."""

    def __init__(self, config: Config, cleanup: CleanupClient, clock: Callable[[], float] = time.time) -> None:
        self._cleanup = cleanup
        self._clock = clock
        self._host = config[MYHOSTNAME]

    def send(self, outgoing: Outgoing, content: Content, recipient: str, wishes: Wishes) -> str:
        """Queue it; gives the queue id.  `recipient` is whose filter sends it; `wishes` hold for mail that is sent on.

        Raises Rejected, ServiceUnavailable; OSError, EOFError where the message cannot be read.
        """
        now = self._clock()
        if not outgoing.with_body:
            wishes = Wishes(notify=("never",), smtputf8=not "".join((*outgoing.recipients, recipient)).isascii())
        with self._cleanup.open() as new:
            new.begin(_envelope(outgoing, wishes, now))
            new.write(received_by(host=self._host, queue_id=new.queue_id, when=now))
            if outgoing.with_body:
                new.write(f"Delivered-To: {recipient}\n".encode("utf-8", "surrogateescape"))
            for piece in _pieces(outgoing, content):
                new.write(piece)
            return new.commit().queue_id


def _envelope(outgoing: Outgoing, wishes: Wishes, now: float) -> Envelope:
    attributes = wishes.attributes
    return Envelope(
        sender=outgoing.sender,
        recipients=tuple(
            Recipient(address, wishes.original, wishes.orcpt, wishes.notify) for address in outgoing.recipients
        ),
        arrival=now,
        envid=wishes.envid,
        ret=wishes.ret,
        deliver_by=wishes.deliver_by,
        body="8bitmime" if wishes.body == "binarymime" else wishes.body,
        smtputf8=wishes.smtputf8,
        requiretls=wishes.requiretls,
        client_name=attributes.get("client_name", ""),
        client_address=attributes.get("client_address", ""),
        client_helo=attributes.get("client_helo", ""),
        origin=SENT_ON if outgoing.with_body else WRITTEN,
    )


def _pieces(outgoing: Outgoing, content: Content) -> Iterator[bytes]:
    if not outgoing.with_body:
        yield outgoing.head or b""
        return
    if outgoing.head is None:
        yield from content.chunks()
        return
    head = outgoing.head
    yield (head if head.endswith(b"\n") or not head else head + b"\n") + b"\n"
    yield from split(content)[1]
