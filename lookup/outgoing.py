"""What the SMTP client asks about a message on its way out: generic(5) addresses, and senders of mail sent on."""

from __future__ import annotations

from pillarbox.lib.ipc import Attributes
from pillarbox.lookup.access import Access
from pillarbox.lookup.forwarding import Forwarding, SrsError
from pillarbox.lookup.mapping import Mapping
from pillarbox.lookup.request import Reply, request_key


class Outgoing:
    """The verbs of one configuration.  All raise LookupFailed, ProtocolError."""

    def __init__(self, access: Access, mapping: Mapping, forwarding: Forwarding) -> None:
        self._access = access
        self._mapping = mapping
        self._forwarding = forwarding

    def generic(self, request: Attributes) -> Reply:
        """The address that others see in place of one of ours; nothing: that itself."""
        address = request_key(request, "address")
        complete = self._mapping.complete(address)
        generic = self._mapping.replaced(self._access.named(request), complete, "generic")
        return {"ok": True} if generic == address else {"ok": True, "value": generic}

    def forwarded(self, request: Attributes) -> Reply:
        """The sender of mail that is sent on; nothing: its own."""
        keys = [request_key(request, name) for name in ("sender", "original", "address")]
        value = self._forwarding.sender(*keys)
        return {"ok": True} if value is None else {"ok": True, "value": value}

    def returned(self, request: Attributes) -> Reply:
        """Whom mail is for that comes back to such a sender; nothing: it is none, or none that is believed."""
        try:
            value = self._forwarding.back(request_key(request, "address"))
        except SrsError:
            value = None
        return {"ok": True} if value is None else {"ok": True, "value": value}
