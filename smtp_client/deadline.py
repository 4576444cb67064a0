"""DELIVERBY as a client (RFC 2852 section 4.1.4): what is left of the time is passed on, or the message goes back."""

from __future__ import annotations

import time

from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.lib.delivery.result import ENTRUSTED, RELAYED, TRACED
from pillarbox.lib.queue.deliver_by import EXPIRED, DeliverBy, parse_deliver_by
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings


def by_parameter(
    request: DeliveryRequest, capabilities: Capabilities, server: Server, settings: Settings, now: float | None = None
) -> str:
    """The value of BY for this server, "" for none.  Raises Misfit where the message must rather go back.

    LMTP delivers; there is nobody behind who would have to know of the time.
    """
    by = parse_deliver_by(request.deliver_by)
    if by is None:
        return ""
    now = time.time() if now is None else now
    if by.returns and by.passed(now):
        raise Misfit("5.4.7", EXPIRED)
    if "DELIVERBY" not in capabilities:
        if by.returns and not settings.lmtp:
            raise Misfit("5.4.7", f"host {server.name} does not support Deliver By")
        return ""
    left, least = int(by.deadline - now), max(1, capabilities.shortest_delivery)
    if by.returns and left < least:
        raise Misfit("5.4.7", f"host {server.name} can't deliver in time: {left} s are left, it asks for {least}")
    return by.parameter(now)


def handed_over(request: DeliveryRequest, capabilities: Capabilities, settings: Settings) -> str:
    """What a success at this server is for reports (see `lib.delivery.result`)."""
    by = parse_deliver_by(request.deliver_by) if request.deliver_by else None
    if by is not None and not settings.lmtp and _is_traced(by, capabilities):
        return TRACED
    if "DSN" in capabilities:
        return ENTRUSTED
    return "" if settings.lmtp and settings.assume_final else RELAYED


def _is_traced(by: DeliverBy, capabilities: Capabilities) -> bool:
    """Whether the sender hears that the message is out of reach of its deadline, or wanted to hear of each step."""
    return by.trace or "DELIVERBY" not in capabilities
