"""Asking a domain: the TXT record that announces a policy, and the file with it (RFC 8461 sections 3.1 to 3.3)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final, Protocol

from pillarbox.lib.dns import Absent, Answer, Resolver
from pillarbox.lib.http import HttpFailed, HttpPlace, compose_request, exchange
from pillarbox.lib.smtp.sts_policy import TEXT_LIMIT, BadPolicy, StsPolicy, parse_policy, parse_record

FETCH_ERROR: Final = "sts-policy-fetch-error"
INVALID: Final = "sts-policy-invalid"
WEBPKI: Final = "sts-webpki-invalid"
"""Result types of RFC 8460 section 4.3.2.2."""

PATH: Final = "/.well-known/mta-sts.txt"


class SourceFailed(Exception):
    """Why there is no answer, for the log; `result`: a result type to report to the domain, or ""."""

    def __init__(self, text: str, result: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.result = result


@dataclass(frozen=True, slots=True)
class Announced:
    """What DNS says: the policy's id, None where the domain has none; `ttl` in seconds."""

    id: str | None
    ttl: float


class Source(Protocol):
    """Where policies come from; both raise SourceFailed."""

    async def announced(self, domain: str) -> Announced:
        """What the TXT record says."""

    async def fetch(self, domain: str, identity: str) -> StsPolicy:
        """The policy in the file."""


class WebSource:
    """DNS and HTTPS.  `tls` verifies; `timeout` in seconds, for one file."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext, timeout: float, port: int = 443) -> None:
        self._resolver = resolver
        self._tls = tls
        self._timeout = timeout
        self._port = port

    async def announced(self, domain: str) -> Announced:
        """As `Source` says."""
        outcome = await self._resolver.txt(f"_mta-sts.{domain}")
        if isinstance(outcome, Answer):
            return Announced(parse_record(outcome.records), outcome.ttl)
        if isinstance(outcome, Absent):
            return Announced(None, outcome.ttl)
        raise SourceFailed(f"the TXT record of _mta-sts.{domain} cannot be looked up: {outcome.detail}")

    async def fetch(self, domain: str, identity: str) -> StsPolicy:
        """As `Source` says."""
        host = f"mta-sts.{domain}"
        authority = host if self._port == 443 else f"{host}:{self._port}"
        place = HttpPlace(host, self._port, PATH, authority, self._tls)
        request = compose_request("GET", place, {"Accept": "text/plain", "User-Agent": "pillarbox"})
        try:
            response = await exchange(place, request, self._resolver, timeout=self._timeout, limit=TEXT_LIMIT)
        except HttpFailed as failed:
            raise SourceFailed(failed.text, WEBPKI if failed.where == "tls" else FETCH_ERROR) from None
        if response.status != 200:
            hint = ", and redirects are not followed" if 300 <= response.status < 400 else ""
            raise SourceFailed(f"{host} answered with HTTP status {response.status}{hint}", FETCH_ERROR)
        if response.media_type != "text/plain":
            raise SourceFailed(f"{host} sent {response.media_type[:60] or 'no media type'}, not text/plain", INVALID)
        try:
            return parse_policy(domain, identity, response.body.decode("utf-8"))
        except BadPolicy as error:
            raise SourceFailed(f"the policy at {host} is malformed: {error}", INVALID) from None
        except UnicodeDecodeError:
            raise SourceFailed(f"the policy at {host} is not UTF-8", INVALID) from None


def policy_context(cafile: str) -> ssl.SSLContext:
    """Verifies a web server by names in its certificate (section 3.3).  Raises OSError, ssl.SSLError."""
    context = ssl.create_default_context(cafile=cafile or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # DNS-ID only
    context.set_alpn_protocols(["http/1.1"])
    return context
