"""One delivery: a message, and those of its recipients that go the same way."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pillarbox.lib.delivery.content import Content
from pillarbox.lib.ipc import Attributes, ProtocolError


@dataclass(frozen=True, slots=True)
class DeliveryRecipient:
    """One recipient; `n` is its number in the queue file, by which the queue manager knows it."""

    n: int
    address: str
    original: str = ""
    orcpt: str = ""
    notify: tuple[str, ...] = ()


@dataclass(slots=True)
class Standing:
    """How far a delivery is.  While it is `revocable`, nothing of the message has been given to anyone who might take
    it: where the queue manager is gone, and with it who would record a success, the delivery is given up."""

    revocable: bool = False
    ordered: Callable[[], bool] = lambda: True
    """Whether the queue manager is still there."""

    def give(self) -> None:
        """From now on it can't be taken back.  Raises CancelledError where the queue manager is gone."""
        if self.revocable and not self.ordered():
            raise asyncio.CancelledError
        self.revocable = False


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """What an agent is asked to deliver.  The agent owns the descriptor in `content` and closes it.

    `arrival` is when the message came into the system, `active` when the queue manager took it up, `taken` when the
    agent got the request: the log line's delays are computed from them.
    """

    tag: int
    queue_id: str
    sender: str
    recipients: tuple[DeliveryRecipient, ...]
    content: Content
    transport: str
    nexthop: str
    arrival: float
    active: float
    taken: float
    envid: str = ""
    ret: str = ""
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    deliver_by: str = ""
    """See `lib.queue.deliver_by`."""
    sources: tuple[str, ...] = ()
    """The local addresses of the connection, at most one IPv4 and one IPv6; empty: as the agent is configured."""
    helo: str = ""
    """The name that belongs to `sources` in the EHLO, HELO or LHLO command; empty: as the agent is configured."""
    soft_bounce: bool = False
    """Failures wait instead of going back to the sender: the agent's own soft_bounce, no part of the request."""
    probe: bool = False
    """Nothing is to be delivered: the result is what the next hop says to the recipient (`verify`)."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Where the message came from: client_name, client_address, client_port, client_helo, protocol, sasl_method,
    sasl_username, sasl_sender, and what else the envelope carried."""
    standing: Standing = field(default_factory=Standing, compare=False, repr=False)
    """Kept by the agent that delivers."""

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.content.fd)


def request_frame(
    tag: int,
    queue_id: str,
    sender: str,
    offset: int,
    length: int,
    transport: str,
    nexthop: str,
    arrival: float,
    active: float,
    recipients: list[dict[str, object]],
    options: Mapping[str, object],
) -> dict[str, object]:
    """The queue manager's side: the members of a request frame."""
    return {
        "do": "deliver",
        "tag": tag,
        "id": queue_id,
        "sender": sender,
        "offset": offset,
        "length": length,
        "transport": transport,
        "nexthop": nexthop,
        "arrival": arrival,
        "active": active,
        "recipients": recipients,
        **options,
    }


def _sources(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        versions = [ipaddress.ip_address(text).version for text in texts]
    except ValueError:
        raise ProtocolError("a source of a delivery is an IP address") from None
    if len(versions) != len(set(versions)):
        raise ProtocolError("a delivery has one source of each address family at most")
    return texts


_OPTIONAL: dict[str, Callable[[Attributes, str], object]] = {
    "envid": Attributes.text,
    "ret": Attributes.text,
    "body": Attributes.text,
    "smtputf8": Attributes.boolean,
    "requiretls": Attributes.boolean,
    "deliver_by": Attributes.text,
    "helo": Attributes.text,
    "probe": Attributes.boolean,
    "sources": lambda frame, name: _sources(frame.texts(name)),
}
"""Members that most requests do not have, and how each is read."""


def _recipient(item: Attributes) -> DeliveryRecipient:
    if len(item) == 2:
        return DeliveryRecipient(item.integer("n"), item.text("address"))  # nearly every one
    return DeliveryRecipient(
        n=item.integer("n"),
        address=item.text("address"),
        original=item.text("original", ""),
        orcpt=item.text("orcpt", ""),
        notify=item.texts("notify", []),
    )


def _recipient_members(recipient: DeliveryRecipient) -> dict[str, object]:
    members: dict[str, object] = {"n": recipient.n, "address": recipient.address}
    if recipient.original or recipient.orcpt or recipient.notify:
        members |= {"original": recipient.original, "orcpt": recipient.orcpt, "notify": list(recipient.notify)}
    return members


def passed_on(request: DeliveryRequest, recipients: Iterable[DeliveryRecipient], tag: int) -> dict[str, object]:
    """The members of a frame by which an agent has a request done for some of its recipients; the descriptor goes with
    it, and stays this agent's."""
    content = request.content
    options = {name: value for name in _OPTIONAL if (value := getattr(request, name))}
    return request_frame(
        tag,
        request.queue_id,
        request.sender,
        content.offset,
        content.size,
        request.transport,
        request.nexthop,
        request.arrival,
        request.active,
        [_recipient_members(recipient) for recipient in recipients],
        {**options, "attributes": dict(request.attributes)},
    )


def parse_request(frame: Attributes, now: float, *, soft_bounce: bool = False) -> DeliveryRequest:
    """The agent's side.  Raises ProtocolError; the frame's descriptors are then closed."""
    try:
        if frame.text("do") != "deliver" or len(frame.fds) != 1:
            raise ProtocolError("a delivery request with one descriptor was expected")
        recipients = tuple([_recipient(item) for item in frame.groups("recipients")])
        optional = {name: read(frame, name) for name, read in _OPTIONAL.items() if name in frame}
        attributes = frame.attributes("attributes") if "attributes" in frame else {}
        return DeliveryRequest(
            tag=frame.integer("tag"),
            queue_id=frame.text("id"),
            sender=frame.text("sender"),
            recipients=recipients,
            content=Content(frame.fds[0], frame.integer("offset"), frame.integer("length")),
            transport=frame.text("transport"),
            nexthop=frame.text("nexthop"),
            arrival=frame.number("arrival"),
            active=frame.number("active"),
            taken=now,
            soft_bounce=soft_bounce,
            attributes={name: value for name, value in attributes.items() if isinstance(value, str)},
            **optional,  # type: ignore[arg-type]
        )
    except ProtocolError:
        for descriptor in frame.fds:
            os.close(descriptor)
        raise
