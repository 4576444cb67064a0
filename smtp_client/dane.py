"""Which TLSA records a server has: found only along a way that is signed from end to end (RFC 7672 section 2.2).

The addresses of the host must be authenticated, or, where the host is an alias that leads out of signed zones, the
alias itself; the records then are those of the name at the end of the alias chain, and if that has none, of the host's
own name.  What cannot be looked up, or is bogus, may be what an attacker does not want us to see: `DaneUnknown`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.dns import TLSA, Answer, Failed, RecordType, Resolver
from pillarbox.lib.tls.dane import usable
from pillarbox.smtp_client.route import Server


class DaneUnknown(Exception):
    """Nobody can say whether there are records: the server cannot be used now (RFC 7672 section 2.1.2)."""

    def __init__(self, text: str, *, bogus: bool) -> None:
        super().__init__(text)
        self.text = text
        self.bogus = bogus


@dataclass(frozen=True, slots=True)
class Published:
    """What a server's owner has published: `base` is the TLSA base domain, `usable` what a certificate is held to."""

    base: str
    records: tuple[TLSA, ...]
    usable: tuple[TLSA, ...]


async def find_records(resolver: Resolver, server: Server) -> Published | None:
    """The authenticated TLSA records of a server, None where it certainly has none.  Raises DaneUnknown."""
    for base in await _base_domains(resolver, server):
        name = f"_{server.port}._tcp.{base}"
        outcome = await resolver.tlsa(name)
        if isinstance(outcome, Failed):
            raise DaneUnknown(
                f"TLSA lookup error for {server.host}:{server.port}: {outcome.detail}", bogus=outcome.bogus
            )
        if isinstance(outcome, Answer) and outcome.authenticated:
            return Published(base, outcome.records, usable(outcome.records))
    return None


async def _base_domains(resolver: Resolver, server: Server) -> tuple[str, ...]:
    """In the order in which they are tried (RFC 7672 section 2.2.2)."""
    canonical = (server.canonical or server.host).lower()
    is_alias = canonical != server.host.lower()
    if server.address_authentic:
        return (canonical, server.host) if is_alias else (server.host,)
    if not is_alias:
        return ()
    outcome = await resolver.query(server.host, RecordType.CNAME)
    if isinstance(outcome, Failed):
        raise DaneUnknown(f"CNAME lookup error for {server.host}: {outcome.detail}", bogus=outcome.bogus)
    return (server.host,) if isinstance(outcome, Answer) and outcome.authenticated else ()
