"""Who is at the other end: the connection's own word, a PROXY header's, or that of XCLIENT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pillarbox.lib.dns import UNKNOWN, ClientName
from pillarbox.lib.dns.client_name import Verdict
from pillarbox.lib.smtp.client_attributes import TEMPORARY, UNAVAILABLE, known
from pillarbox.lib.smtp.networks import plain_address
from pillarbox.smtpd.client import Client


@dataclass(frozen=True, slots=True)
class Origin:
    """Both ends of a connection; addresses as text, "" and 0 for what is not known."""

    address: str
    port: int
    local_address: str = ""
    local_port: int = 0


NOWHERE = Origin(UNKNOWN, 0)
"""Of a connection that is gone."""


def connection_origin(peer: object, local: object) -> Origin | None:
    """What the socket says; None where it is no longer connected."""
    if not isinstance(peer, tuple):
        return None
    if not isinstance(local, tuple):
        return Origin(plain_address(peer[0]), peer[1])
    return Origin(plain_address(peer[0]), peer[1], plain_address(local[0]), local[1])


def impersonated(attributes: Mapping[str, str], before: Origin) -> Origin:
    """What XCLIENT says; what it does not say stays as it was, but a port belongs to its address."""
    address, port = before.address, before.port
    if "ADDR" in attributes:
        address, port = known(attributes, "ADDR") or UNKNOWN, 0
    if "PORT" in attributes:
        port = int(known(attributes, "PORT") or 0)
    local_address, local_port = before.local_address, before.local_port
    if "DESTADDR" in attributes:
        local_address, local_port = known(attributes, "DESTADDR"), 0
    if "DESTPORT" in attributes:
        local_port = int(known(attributes, "DESTPORT") or 0)
    return Origin(address, port, local_address, local_port)


def named_by_proxy(attributes: Mapping[str, str], client: Client, before: Client) -> bool:
    """Give the client the name that XCLIENT has for it; whether it need not be looked for."""
    if "NAME" in attributes:
        name, reverse = attributes["NAME"], attributes.get("REVERSE_NAME", attributes["NAME"])
        found = ClientName(*_claim(name), *_claim(reverse))
        client.settle(found.name, found)
    elif "ADDR" not in attributes or client.address == UNKNOWN:
        same = client.address == before.address
        client.settle(before.name if same else UNKNOWN, before.found if same else None)
    return client.named


def _claim(name: str) -> tuple[str, Verdict]:
    """What the proxy has found out about a name."""
    if name in (UNAVAILABLE, TEMPORARY):
        return UNKNOWN, "temporary" if name == TEMPORARY else "unknown"
    return name, "ok"
