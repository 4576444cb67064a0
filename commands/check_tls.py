"""The part of `pillarbox check` about certificates: is what is stored good, and is it what clients get.

Stored: expired, not yet valid, about to expire, for another name than that under which it is shown.  Served, where the
suite runs: on every TLS port, for clients that name no name and for every name of tls_server_sni_maps, the certificate
must be one of those that are stored for it.
"""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pillarbox.commands.served_certificate import NotServed, Port, Protocol, served_certificate
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.general import BASE_PORT, INET_INTERFACES, MYHOSTNAME
from pillarbox.lib.config.parameters.login import LOGIN_TLS_WRAPPERMODE
from pillarbox.lib.config.parameters.smtpd import SMTPD_PROTOCOL
from pillarbox.lib.config.parameters.smtpd_proxy import SMTPD_UPSTREAM_PROXY_HOSTS, SMTPD_UPSTREAM_PROXY_PROTOCOL
from pillarbox.lib.config.parameters.smtpd_tls import SMTPD_TLS_WRAPPERMODE, TLS_CERTIFICATE_CHECK_INTERVAL
from pillarbox.lib.smtp.networks import Networks
from pillarbox.lib.tls import ServerRole, TlsError, login_role, server_context, smtp_role
from pillarbox.lib.tls.chains import Chain, configured_chains
from pillarbox.lib.tls.names import named_chains

SOON = datetime.timedelta(days=30)
"""Before the end of a certificate from when on it is to be renewed."""

PAUSE = 0.5
"""Seconds between two looks at a port whose certificate is just being replaced."""

_LOGIN: dict[str, Protocol] = {"imapd.login": "imap", "pop3d.login": "pop3", "managesieved.login": "sieve"}
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(slots=True)
class Summary:
    """What was looked at."""

    ports: int = 0
    first_end: datetime.datetime | None = None
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """What to say where there is nothing to find fault with; nothing where no port was looked at."""
        if not self.ports:
            return ""
        ends = f"; the first certificate expires on {self.first_end:%Y-%m-%d}" if self.first_end else ""
        return f"the stored certificates are shown on all TLS ports ({self.ports}){ends}"


def look_at_certificates(config: Config, *, running: bool, now: datetime.datetime) -> Summary | None:
    """Everything about certificates; None where no service speaks TLS."""
    summary = Summary()
    seen: dict[tuple[str, str], bool] = {}
    spoken = False
    for service in config.services.values():
        view = config.for_service(service)
        role = role_of(view, service)
        if role is None:
            continue
        try:
            if server_context(view, role) is None:
                continue
            stored = {"": configured_chains(view), **named_chains(view)}
        except TlsError as error:
            _add(summary, str(error))
            continue
        spoken = True
        for name, chains in stored.items():
            for chain in chains:
                if seen.setdefault((name, chain.certificate), False):
                    continue
                seen[name, chain.certificate] = True
                for finding in _stored(chain, name or view[MYHOSTNAME], bool(name), summary, now):
                    _add(summary, finding)
        if running:
            for finding in _served(view, service, stored, summary):
                _add(summary, finding)
    return summary if spoken or summary.findings else None


def unusable_certificates(config: Config) -> list[str]:
    """Why a reload would be refused: certificates with which a service could not start, each reason once."""
    reasons: dict[str, None] = {}
    for service in config.services.values():
        view = config.for_service(service)
        try:
            if (role := role_of(view, service)) is not None:
                server_context(view, role)
        except TlsError as error:
            reasons[str(error)] = None
    return list(reasons)


def _add(summary: Summary, finding: str) -> None:
    if finding not in summary.findings:  # several services use the same files
        summary.findings.append(finding)


def role_of(view: Config, service: Service) -> ServerRole | None:
    """How a service uses TLS; None where it does not, or is no server."""
    if service.command == "smtpd":
        return smtp_role(view)
    return login_role(view) if service.command in _LOGIN else None


# --- what is stored
def leaf(chain: Chain) -> list[x509.Certificate]:
    """The server certificates in a chain file: the first, and each that follows a key.  Raises TlsError."""
    try:
        content = Path(chain.certificate).read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read the certificate {chain.certificate}: {error.strerror}") from None
    parts = re.split(rb"-----END (?:[A-Z]+ )*PRIVATE KEY-----", content)
    blocks = [match.group() for part in parts if (match := _BLOCK.search(part))]
    try:
        return [x509.load_pem_x509_certificate(block) for block in blocks]
    except ValueError as error:
        raise TlsError(f"{chain.certificate}: {error}") from None


def _stored(chain: Chain, name: str, own_name: bool, summary: Summary, now: datetime.datetime) -> Iterator[str]:
    try:
        certificates = leaf(chain)
    except TlsError as error:
        yield str(error)
        return
    file = chain.certificate
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        summary.first_end = min(summary.first_end or end, end)
        if end <= now:
            yield f"{file}: the certificate expired on {end:%Y-%m-%d}: clients refuse it; replace it"
        elif begin > now:
            yield f"{file}: the certificate is not valid before {begin:%Y-%m-%d %H:%M} UTC; look at the clock"
        elif end - now < SOON:
            yield f"{file}: the certificate expires in {(end - now).days} days, on {end:%Y-%m-%d}; renew it"
        if not _is_for(certificate, name):
            names = ", ".join(_names(certificate)) or "nobody"
            why = "tls_server_sni_maps shows it for" if own_name else "myhostname is"
            yield f"{file}: the certificate is for {names}, but {why} {name}"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    """Whether clients will take a certificate for `name` (RFC 9525 section 6.3); `.domain`: for names below it."""
    name = name.lower()
    for pattern in map(str.lower, _names(certificate)):
        if pattern == name or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:]):
            return True
        if name.startswith(".") and pattern.endswith(name):
            return True
    return False


# --- what is served
def _ports(view: Config, service: Service) -> Iterator[Port]:
    protocol = _LOGIN.get(service.command) or ("lmtp" if view[SMTPD_PROTOCOL] == "lmtp" else "smtp")
    smtp = service.command == "smtpd"
    wrapped = view[SMTPD_TLS_WRAPPERMODE if smtp else LOGIN_TLS_WRAPPERMODE]
    hosts: tuple[str, ...] = view[SMTPD_UPSTREAM_PROXY_HOSTS] if smtp else ()
    proxies = Networks(hosts if view[SMTPD_UPSTREAM_PROXY_PROTOCOL] else ())
    interfaces = [name for name in view[INET_INTERFACES] if name not in ("all", "loopback-only")]
    for host, number in service.inet:
        where = host or (interfaces[0] if interfaces else "127.0.0.1")
        where = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.strip("[]"), where.strip("[]"))
        yield Port(service.name, protocol, where, view[BASE_PORT] + number, wrapped, where in proxies)


def _served(view: Config, service: Service, stored: dict[str, tuple[Chain, ...]], summary: Summary) -> Iterator[str]:
    for port in _ports(view, service):
        summary.ports += 1
        for name, chains in stored.items():
            asked = f"any{name}" if name.startswith(".") else name
            try:
                finding = _compared(port, asked, chains, view[TLS_CERTIFICATE_CHECK_INTERVAL])
            except NotServed as error:
                finding = f"{port}: no TLS session: {error}"
            except TlsError as error:
                finding = str(error)
            if finding:
                yield finding


def _compared(port: Port, name: str, chains: tuple[Chain, ...], interval: float) -> str:
    """What is wrong with the certificate that a port shows for a name; one just replaced gets its time."""
    while True:
        served = served_certificate(port, name)
        files = [chain.certificate for chain in chains]
        expected = [certificate for chain in chains for certificate in leaf(chain)]
        if any(certificate.public_bytes(Encoding.DER) == served for certificate in expected):
            return ""
        age = time.time() - max(os.stat(file).st_ctime for file in files)
        if not interval or age > 3 * interval + 2:
            break
        time.sleep(PAUSE)
    shown = x509.load_der_x509_certificate(served)
    asked = f" for {name}" if name else ""
    return (
        f"{port}: shows another certificate{asked} than the one in {', '.join(files)}: "
        f"one for {', '.join(_names(shown)) or 'nobody'} that expires on {shown.not_valid_after_utc:%Y-%m-%d}; "
        "the log says why the new one was not taken up, pillarbox reload takes it up"
    )
