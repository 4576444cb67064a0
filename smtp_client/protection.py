"""How well a message is protected on the way: the TLS level of the service, unless its sender wants more or less.

REQUIRETLS (RFC 8689 section 4.2.1): over verified TLS to a server that passes the wish on, or not at all.  A message
without a reverse-path is not lost for it: a report goes as well protected as it can be (section 5).
`TLS-Required: No` (section 4.2.2): rather in clear text than not at all; REQUIRETLS overrides it.
"""

from __future__ import annotations

import re

from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.lib.tls import LEVELS
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import MANDATORY_TLS, Settings

REQUIRED = "verify"
"""The level that REQUIRETLS asks for: a certificate that proves the name of the server."""

UNSUPPORTED, UNENCRYPTED = "5.7.30", "5.7.10"

_LOOPBACK = frozenset({"127.0.0.1", "::1"})

_NOT_REQUIRED = re.compile(rb"^tls-required[ \t]*:[ \t\r\n]*no[ \t\r]*$", re.IGNORECASE | re.MULTILINE)


def insists(request: DeliveryRequest) -> bool:
    """Whether the message goes protected or not at all."""
    return request.requiretls and request.sender != ""


def level_for(request: DeliveryRequest, settings: Settings) -> str:
    """The TLS security level for a message.  Raises OSError, EOFError."""
    level = settings.tls_level
    if insists(request):
        return stronger(level, REQUIRED)
    if level in MANDATORY_TLS and settings.tls_required_enable and not request.requiretls:
        header = request.content.header()
        if b"\n" in header and _NOT_REQUIRED.search(header):
            return "may"
    return level


def stronger(one: str, other: str) -> str:
    """The level that demands more."""
    return max(one, other, key=LEVELS.index)


def satisfies(made_at: str, level: str) -> bool:
    """Whether a connection that was made at one level may carry a message of another."""
    return made_at == level or LEVELS.index(made_at) >= LEVELS.index(level)


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
