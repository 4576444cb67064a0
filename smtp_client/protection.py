"""What a message's sender wants of its protection on the way, on top of what the destination's TLS policy says.

REQUIRETLS (RFC 8689 section 4.2.1): over verified TLS to a server that passes the wish on, or not at all.  A message
without a reverse-path is not lost for it: a report goes as well protected as it can be (section 5).
`TLS-Required: No` (section 4.2.2): rather in clear text than not at all; REQUIRETLS overrides it.
"""

from __future__ import annotations

import re

from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings

UNSUPPORTED, UNENCRYPTED = "5.7.30", "5.7.10"

_LOOPBACK = frozenset({"127.0.0.1", "::1"})

_NOT_REQUIRED = re.compile(rb"^tls-required[ \t]*:[ \t\r\n]*no[ \t\r]*$", re.IGNORECASE | re.MULTILINE)


def insists(request: DeliveryRequest) -> bool:
    """Whether the message goes protected or not at all."""
    return request.requiretls and request.sender != ""


def says_not_required(request: DeliveryRequest) -> bool:
    """Whether the header has `TLS-Required: No`.  Raises OSError, EOFError."""
    header = request.content.header()
    return b"\n" in header and _NOT_REQUIRED.search(header) is not None


def is_inside(server: Server, settings: Settings) -> bool:
    """Whether the way to a server does not leave this machine and ends there: a mailbox behind a socket of its own, or
    behind LMTP on the loopback interface.  TLS would protect from nobody."""
    return bool(server.path) or (settings.lmtp and server.address in _LOOPBACK)


def check_requiretls(
    request: DeliveryRequest, capabilities: Capabilities, server: Server, settings: Settings, *, encrypted: bool
) -> bool:
    """Whether REQUIRETLS is passed on.  Raises Misfit where it must be and the server does not take it."""
    inside = is_inside(server, settings)
    if (encrypted or inside) and "REQUIRETLS" in capabilities:
        return True
    if insists(request) and not inside:
        text = f"REQUIRETLS needed, but it was not offered by host {server.name}"
        raise Misfit(UNSUPPORTED, text, elsewhere=True)
    return False
