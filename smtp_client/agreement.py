"""What one server of a destination must do to get the mail: a destination's policy, made concrete.

| policy | TLSA records | MTA-STS | REQUIRETLS | the server must |
|---|---|---|---|---|
| dane, dane-only | usable | - | - | show what they say |
| dane | unusable | not enforce | no | encrypt |
| dane-only | none, unusable | - | - | (it gets nothing) |
| dane, may, encrypt | none, unusable | enforce | - | be one of the policy's, with a trusted certificate for its name |
| dane, may | none | testing | - | nothing, but it is tried as above first, and reported |
| dane, may, encrypt | none, unusable | - | yes | be known by DNSSEC or MTA-STS, with a certificate for its name |
| dane, may | none | none | no | nothing: TLS if it offers it |
| verify, secure, fingerprint | - | - | - | show what the parameters or the table say |

DANE wins over MTA-STS (RFC 8461 section 2), where its records are usable and those of a server that DNSSEC names; the
policy table wins over both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls import Demand
from pillarbox.lib.tls.client import Trust
from pillarbox.lib.tls.dane import as_text
from pillarbox.lib.tls.examination import Fingerprints
from pillarbox.smtp_client.dane import Published
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.tls_policy import DANE_LEVELS, TlsPolicy

PolicyType: TypeAlias = Literal["tlsa", "sts", "no-policy-found"]


@dataclass(frozen=True, slots=True)
class Basis:
    """What the agreement rests on, as a report to the domain says it (RFC 8460 section 4.4)."""

    type: PolicyType = "no-policy-found"
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    counted: bool = True
    """False: the domain does not hear of it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """With one server.  `level` and `source` are for the log: verify/sts."""

    level: str
    source: str = ""
    demand: Demand | None = None
    """None: no TLS."""
    names: tuple[str, ...] = ()
    associations: tuple[TLSA, ...] = ()
    fingerprints: Fingerprints | None = None
    common_name: bool = True
    """Whether a certificate without DNS names may have the name in its subject; not with MTA-STS (section 4.1)."""
    sni: str = ""
    basis: Basis = Basis()
    otherwise: Agreement | None = None
    """What is agreed on with a server that cannot do this; None: it gets nothing."""

    @property
    def proves(self) -> bool:
        """Whether the server shows whose it is."""
        return bool(self.names or self.associations or self.fingerprints)

    @property
    def status(self) -> str:
        """The level, and what asked for it, as the delivery's log line has it."""
        return f"{self.level}/{self.source}" if self.source else self.level


NO_TLS = Agreement("none")


class Unprotected(Exception):
    """A server that gets no mail, whatever it can do.  `result` is a result type of RFC 8460 section 4.3, or ""."""

    def __init__(self, dsn: str, text: str, result: str = "", basis: Basis = Basis()) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.result = result
        self.basis = basis


def agree(
    policy: TlsPolicy,
    server: Server,
    domain: str,
    published: Published | None,
    *,
    digest: str = "sha256",
    insecure_mx: str = "may",
    noted: bool = False,
) -> Agreement:
    """The agreement with a server; `domain` is the destination's name.  Raises Unprotected.

    `published` are its TLSA records where the level is a DANE level; `noted` says that the log is to tell whether an
    authority vouches for a server that need not prove anything.
    """
    if policy.level in DANE_LEVELS:
        found = _dane(policy, server, domain, published, insecure_mx)
        if found is not None:
            return found
    if policy.sts is not None and policy.level not in ("fingerprint", "verify", "secure"):
        return _sts(policy, server, domain, noted)
    if policy.insists:
        return _required(policy, server, domain, digest)
    return _plain(policy, server, domain, digest, noted)


def basis_of(published: Published) -> Basis:
    """What a report says of TLSA records."""
    return Basis("tlsa", tuple(as_text(record) for record in published.records), (published.base,))


def _dane(
    policy: TlsPolicy, server: Server, domain: str, published: Published | None, insecure_mx: str
) -> Agreement | None:
    if published is None:
        if policy.level == "dane-only":
            raise Unprotected("4.7.5", f"no TLSA records found for host {server.name}", "dane-required")
        return None
    stricter = policy.insists or (policy.sts is not None and policy.sts.mode == "enforce")
    if stricter and policy.level == "dane" and not (published.usable and server.name_authentic):
        return None  # what the records ask for is less
    basis = basis_of(published)
    encrypt = Agreement("encrypt", "dane", _demand(policy, "anyone"), sni=published.base, basis=basis)
    if not published.usable:
        if policy.level == "dane-only":
            raise Unprotected("4.7.5", f"no usable TLSA records for host {server.name}", "tlsa-invalid", basis)
        return encrypt
    if not server.name_authentic and insecure_mx == "encrypt":
        return encrypt
    names = tuple(dict.fromkeys((published.base.lower(), domain.lower())))
    return Agreement(
        policy.level,
        "",
        _demand(policy, "associations"),
        names=names,
        associations=published.usable,
        sni=published.base,
        basis=basis,
    )


def _sts(policy: TlsPolicy, server: Server, domain: str, noted: bool) -> Agreement:
    sts = policy.sts
    assert sts is not None
    basis = Basis("sts", sts.lines, sts.mx)
    enforced = sts.mode == "enforce" or policy.insists
    if not sts.matches(server.host):
        text = f"host {server.name} is not one of the MTA-STS policy of {sts.domain}"
        raise Unprotected("4.7.5", text, "validation-failure", basis)
    return Agreement(
        "verify",
        "sts",
        _demand(policy, "authorities", mandatory=True),
        names=(server.host,),
        common_name=False,
        sni=server.host,
        basis=basis,
        otherwise=None if enforced else _plain(replace(policy, sts=None), server, domain, "", noted),
    )


def _required(policy: TlsPolicy, server: Server, domain: str, digest: str) -> Agreement:
    """RFC 8689 section 4.2.1; what the parameters demand on top is demanded too."""
    if not server.name_authentic:
        if policy.sts_unknown:
            raise Unprotected("4.4.3", f"the MTA-STS policy of {domain} cannot be looked up now")
        text = f"nothing authenticates that {server.name} is a server of {domain} (DNSSEC or MTA-STS)"
        raise Unprotected("4.7.10", text)
    if policy.level in ("verify", "secure", "fingerprint"):
        return _plain(policy, server, domain, digest, noted=False)
    return Agreement(
        "verify",
        "requiretls",
        _demand(policy, "authorities", mandatory=True),
        names=(server.host,),
        sni=server.host,
    )


def _plain(policy: TlsPolicy, server: Server, domain: str, digest: str, noted: bool) -> Agreement:
    sni = {"hostname": server.host, "nexthop": domain}.get(policy.servername, policy.servername)
    anyone: Trust = "noted" if noted else "anyone"
    match policy.level:
        case "none":
            return NO_TLS
        case "may" | "dane":
            return Agreement("may", "", _demand(policy, anyone, mandatory=False), sni=sni, otherwise=NO_TLS)
        case "encrypt":
            return Agreement("encrypt", "", _demand(policy, anyone), sni=sni)
        case "fingerprint":
            wanted = Fingerprints(digest, frozenset(policy.fingerprints))
            return Agreement("fingerprint", "", _demand(policy, "anyone"), fingerprints=wanted, sni=sni)
    names = tuple(_name(strategy, server, domain) for strategy in policy.match)
    trust: Trust = "associations" if policy.anchors else "authorities"
    return Agreement(policy.level, "", _demand(policy, trust), names=names, associations=policy.anchors, sni=sni)


def _name(strategy: str, server: Server, domain: str) -> str:
    match strategy:
        case "hostname":
            return server.host
        case "nexthop":
            return domain
        case "dot-nexthop":
            return f".{domain}"
    return strategy


def _demand(policy: TlsPolicy, trust: Trust, *, mandatory: bool = True) -> Demand:
    if mandatory:
        return Demand(trust, policy.versions, policy.ciphers)
    return Demand(trust, policy.optional_versions, policy.optional_ciphers)
