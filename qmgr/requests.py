"""What an agent is told: the choice of what a request carries, and its frame."""

from __future__ import annotations

from operator import attrgetter

from pillarbox.lib.address.verp import verp_sender
from pillarbox.lib.delivery.request import request_frame
from pillarbox.lib.ipc import encode_frame
from pillarbox.lib.queue import Envelope
from pillarbox.qmgr.job import Entry

_CONDITIONS = ("envid", "ret", "body", "smtputf8", "requiretls", "deliver_by")
_ORIGIN = (
    "client_name",
    "client_address",
    "client_port",
    "client_helo",
    "protocol",
    "sasl_method",
    "sasl_username",
    "origin",
    "full_name",
)
_conditions_of = attrgetter(*_CONDITIONS)
_origin_of = attrgetter(*_ORIGIN)


def options(entry: Entry, envelope: Envelope) -> dict[str, object]:
    """The members of the request beside those that every request has: only what differs from their default."""
    chosen: dict[str, object] = {"fds": 1}
    conditions = _conditions_of(envelope)
    if any(conditions):
        chosen.update((name, value) for name, value in zip(_CONDITIONS, conditions, strict=True) if value)
    attributes = {name: value for name, value in zip(_ORIGIN, _origin_of(envelope), strict=True) if value}
    if envelope.attributes:
        attributes.update(envelope.attributes)
    if envelope.report == "verify":
        chosen["probe"] = True
    if attributes:
        chosen["attributes"] = attributes
    if entry.source is not None:
        source = entry.source.source
        chosen["sources"] = list(source.addresses)
        if source.helo:
            chosen["helo"] = source.helo
    return chosen


def sender_of(entry: Entry) -> str:
    """The sender that the next hop sees with VERP: it names the recipient as the message's sender knows it."""
    envelope = entry.message.envelope
    recipient = entry.recipients[0].recipient
    return verp_sender(envelope.sender, envelope.verp, recipient.original or recipient.address)


def compose_request(tag: int, entry: Entry) -> bytes:
    """The frame of a request.  Raises ProtocolError where it would be too large."""
    message = entry.job.message
    envelope = message.envelope
    return encode_frame(
        request_frame(
            tag,
            message.queue_id,
            sender_of(entry) if envelope.verp else envelope.sender,
            message.file.offset,
            message.file.length,
            entry.job.transport.name,
            entry.nexthop.name,
            envelope.arrival,
            message.active,
            [{"n": stored.n, **stored.recipient.members()} for stored in entry.recipients],
            options(entry, envelope),
        )
    )
