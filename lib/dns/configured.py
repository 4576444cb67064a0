"""A resolver as the parameters want it.

To be called before a program confines itself: it reads /etc/resolv.conf and /etc/hosts.  The sockets are opened
later, with the first look-up, in the event loop that makes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.dns import (
    DNS_ATTEMPTS,
    DNS_CACHE_SIZE,
    DNS_RESOLVER,
    DNS_TIMEOUT,
    DNSSEC_TRUST_ANCHORS,
    DNSSEC_TRUSTED_RESOLVER,
    DNSSEC_VALIDATION,
)
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.resolver import Resolver
from pillarbox.lib.dns.servers import choose_servers, is_trusted_path

RESOLV_CONF = "/etc/resolv.conf"
HOSTS = "/etc/hosts"


def configured_resolver(config: Config) -> Resolver:
    """The resolver of a process.  Raises ValueError for a `dns_resolver` that names no address."""
    configured = config[DNS_RESOLVER]
    return Resolver(
        choose_servers(configured, _text(RESOLV_CONF)),
        timeout=config[DNS_TIMEOUT],
        attempts=config[DNS_ATTEMPTS],
        cache_size=config[DNS_CACHE_SIZE],
        hosts=Hosts(_text(HOSTS)),
    )


def configured_authentic_resolver(config: Config) -> Resolver:
    """The resolver for look-ups whose answers matter only if they are genuine: their `authenticated` may be believed.

    Raises ValueError for trust anchors that are none, or that cannot be read.
    """
    options: dict[str, Any] = {
        "timeout": config[DNS_TIMEOUT],
        "attempts": config[DNS_ATTEMPTS],
        "cache_size": config[DNS_CACHE_SIZE],
        "hosts": Hosts(_text(HOSTS)),
    }
    configured, resolv_conf = config[DNS_RESOLVER], _text(RESOLV_CONF)
    servers = choose_servers(configured, resolv_conf)
    mode = config[DNSSEC_VALIDATION]
    if mode != "local":
        asked = "" if configured else resolv_conf
        believed = mode == "resolver" and (
            config[DNSSEC_TRUSTED_RESOLVER] or all(is_trusted_path(server, asked) for server in servers)
        )
        return Resolver(servers, believed=believed, **options)
    # Only here, where it is asked for: validating takes two large libraries.
    from pillarbox.lib.dns.anchors import ROOT, parse_anchors
    from pillarbox.lib.dns.validating import ValidatingResolver

    file = config[DNSSEC_TRUST_ANCHORS]
    try:
        text = Path(file).read_text("ascii") if file else ROOT
        return ValidatingResolver(servers, parse_anchors(text), **options)
    except OSError as error:
        raise ValueError(f"{DNSSEC_TRUST_ANCHORS.name}: cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{DNSSEC_TRUST_ANCHORS.name}: {file}: {error}") from None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
