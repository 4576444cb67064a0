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


class AuthenticResolver:
    """Gives the resolver for look-ups whose answers matter only if they are genuine: its `authenticated` is true.

    Files are read at once, before confinement; the resolver, whose libraries are large, is made when it is wanted.
    """

    def __init__(self, config: Config) -> None:
        """Raises ValueError for a `dns_resolver` that names no address, and for anchors that cannot be read."""
        configured, resolv_conf = config[DNS_RESOLVER], _text(RESOLV_CONF)
        self._servers = choose_servers(configured, resolv_conf)
        self._options: dict[str, Any] = {
            "timeout": config[DNS_TIMEOUT],
            "attempts": config[DNS_ATTEMPTS],
            "cache_size": config[DNS_CACHE_SIZE],
            "hosts": Hosts(_text(HOSTS)),
        }
        mode = config[DNSSEC_VALIDATION]
        self._validates = mode == "local"
        options = "" if configured else resolv_conf
        self._believed = mode == "resolver" and (
            config[DNSSEC_TRUSTED_RESOLVER] or all(is_trusted_path(server, options) for server in self._servers)
        )
        self._anchors = self._file = ""
        if self._validates and (file := config[DNSSEC_TRUST_ANCHORS]):
            try:
                self._file, self._anchors = file, Path(file).read_text("ascii")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{DNSSEC_TRUST_ANCHORS.name}: cannot read {file}: {error}") from None
        self._resolver: Resolver | None = None

    def __call__(self) -> Resolver:
        """The resolver, the same each time.  Raises ValueError for trust anchors that are none."""
        if self._resolver is None:
            self._resolver = self._make()
        return self._resolver

    def _make(self) -> Resolver:
        if not self._validates:
            return Resolver(self._servers, believed=self._believed, **self._options)
        from pillarbox.lib.dns.anchors import ROOT, parse_anchors
        from pillarbox.lib.dns.validating import ValidatingResolver

        try:
            anchors = parse_anchors(self._anchors or ROOT)
        except ValueError as error:
            raise ValueError(f"{DNSSEC_TRUST_ANCHORS.name}: {self._file}: {error}") from None
        return ValidatingResolver(self._servers, anchors, **self._options)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
