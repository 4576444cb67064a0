"""Who is calling: the name of an IP address, believed only where the name leads back to the address (RFC 1912 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pillarbox.lib.address.domain import is_domain
from pillarbox.lib.dns.types import Absent, Answer, RecordType

if TYPE_CHECKING:
    from pillarbox.lib.dns.resolver import Resolver

UNKNOWN = "unknown"

Verdict = Literal["ok", "unknown", "temporary"]
"""`ok`; an authoritative no; nobody could tell."""

NAMES_LIMIT = 5
"""PTR records of one address that are tried; owners of an address with more gain nothing by it."""


@dataclass(frozen=True, slots=True)
class ClientName:
    """The outcome for one address.

    `name` is the verified name, or "unknown" with `status` saying why.  `reverse_name` is what the PTR record claims,
    unverified, or "unknown" with `reverse_status`.
    """

    name: str = UNKNOWN
    status: Verdict = "unknown"
    reverse_name: str = UNKNOWN
    reverse_status: Verdict = "unknown"

    @property
    def verified(self) -> bool:
        """Whether `name` is a name that leads back to the address."""
        return self.status == "ok"


async def find_client_name(resolver: Resolver, address: str) -> ClientName:
    """The name of `address`: from the hosts table, else by PTR and forward look-up.  Never raises for bad data."""
    known = resolver.hosts.name(address)
    if known is not None:
        return ClientName(known, "ok", known, "ok")
    try:
        reverse = await resolver.ptr(address)
    except ValueError:
        return ClientName()
    if not isinstance(reverse, Answer):
        verdict: Verdict = "unknown" if isinstance(reverse, Absent) else "temporary"
        return ClientName(UNKNOWN, verdict, UNKNOWN, verdict)
    # A PTR record may hold anything: a name that is a number or carries odd octets is not taken.
    names = [
        name for name in reverse.records[:NAMES_LIMIT] if is_domain(name) and not name.rpartition(".")[2].isdigit()
    ]
    if not names:
        return ClientName()
    status: Verdict = "unknown"
    kind = RecordType.AAAA if ":" in address else RecordType.A
    for name in names:
        forward = await resolver.query(name, kind)
        if isinstance(forward, Answer):
            if address in forward.records:
                return ClientName(name, "ok", name, "ok")
        elif not isinstance(forward, Absent):
            status = "temporary"
    return ClientName(UNKNOWN, status, names[0], "ok")
