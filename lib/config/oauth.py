"""Where the authorization server is asked about tokens: the URL taken apart, our credentials, whom to trust.

For the service oauth, in `prepare` (the credentials file is not readable afterwards), and for `pillarbox check`.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pillarbox.lib.config.parameters import oauth as parameters
from pillarbox.lib.config.values import Config

CREDENTIALS_LIMIT = 4096


class EndpointError(Exception):
    """A parameter or file that cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The introspection endpoint."""

    host: str
    port: int
    target: str
    authority: str
    """`HOST[:PORT]` as the Host field has it."""
    tls: ssl.SSLContext | None
    method: str = "basic"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


def configured_endpoint(config: Config) -> Endpoint | None:
    """As configured, None where nothing is.  Raises EndpointError."""
    url = config[parameters.OAUTH_INTROSPECTION_URL]
    if not url:
        return None
    parts = urlsplit(url)  # its form was checked when the configuration was read
    host, port = parts.hostname or "", parts.port
    secure = parts.scheme == "https"
    if not secure and not config[parameters.OAUTH_ALLOW_HTTP] and not _is_here(host):
        raise EndpointError(f"{url} is on another machine: http:// sends tokens in clear text, use https://")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    authority = parts.netloc.rpartition("@")[2]
    identity, secret = _credentials(config)
    return Endpoint(
        host,
        port or (443 if secure else 80),
        target,
        authority,
        _context(config) if secure else None,
        config[parameters.OAUTH_CLIENT_AUTHENTICATION],
        identity,
        secret,
    )


def endpoint_port(config: Config) -> tuple[int, ...]:
    """The one TCP port that the process may connect to; none where nothing is configured."""
    parts = urlsplit(config[parameters.OAUTH_INTROSPECTION_URL])
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.port or default,) if default else ()


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(config: Config) -> ssl.SSLContext:
    """Verifies the server, always."""
    file = config[parameters.OAUTH_CAFILE]
    try:
        context = ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        raise EndpointError(f"{parameters.OAUTH_CAFILE.name}: cannot read {file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _credentials(config: Config) -> tuple[str, str]:
    """ID and SECRET; empty where none are configured."""
    file = config[parameters.OAUTH_CREDENTIALS_FILE]
    if not file:
        return "", ""
    name = parameters.OAUTH_CREDENTIALS_FILE.name
    try:
        with open(file, encoding="utf-8") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                raise EndpointError(f"{name}: {file} can be read by others: chmod 600 it")
            line = stream.read(CREDENTIALS_LIMIT).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EndpointError(f"{name}: cannot read {file}: {error}") from None
    identity, separator, secret = line.partition(":")
    if not separator or not secret or not line.isprintable():
        raise EndpointError(f"{name}: {file} must hold one line ID:SECRET")
    return identity, secret
