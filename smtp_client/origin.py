"""XFORWARD as a client: telling a content filter or the next system of ours where a message came from."""

from __future__ import annotations

from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.lib.smtp.client_command import xforward

_NAMES = {
    "NAME": "client_name",
    "ADDR": "client_address",
    "PORT": "client_port",
    "PROTO": "protocol",
    "HELO": "client_helo",
}


def origin_commands(request: DeliveryRequest, capabilities: Capabilities) -> list[bytes]:
    """The commands for one message, none where the server does not take them."""
    if not capabilities.forwarded:
        return []
    attributes = request.attributes
    values = {name: attributes.get(key, "") for name, key in _NAMES.items()}
    if values["NAME"].lower() == "unknown":
        values["NAME"] = ""  # our word for a client without a name; XFORWARD has its own
    address = values["ADDR"]
    if ":" in address and address[:5].lower() != "ipv6:":
        values["ADDR"] = f"IPV6:{address}"
    values["IDENT"] = request.queue_id
    values["SOURCE"] = "REMOTE" if address else "LOCAL"
    return xforward(values, capabilities)
