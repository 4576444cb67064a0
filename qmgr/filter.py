"""Content filters: a message with a `filter` goes there first, whatever its recipients (content_filter in postconf(5)).

The filter hands it in again as a new message, whose envelope names no filter.
"""

from __future__ import annotations

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.queue import StoredRecipient


def filter_route(value: str, stored: StoredRecipient) -> Route:
    """The way of one recipient of a message with the filter `transport:nexthop`; an empty next hop is its domain."""
    transport, _, nexthop = value.partition(":")
    address = stored.recipient.address
    return Route(transport.strip(), nexthop.strip() or address.rpartition("@")[2], address, "default")
