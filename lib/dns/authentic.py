"""The resolver for DANE and REQUIRETLS as the parameters want it: one that validates, or one that is believed.

Apart from `configured`, because it alone needs dnspython and cryptography, which are large: a program that may ask for
it loads them before it confines itself.
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
from pillarbox.lib.dns.anchors import ROOT, parse_anchors
from pillarbox.lib.dns.configured import HOSTS, RESOLV_CONF, system_text
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.resolver import Resolver
from pillarbox.lib.dns.servers import choose_servers, is_trusted_path
from pillarbox.lib.dns.validating import ValidatingResolver


class AuthenticResolver:
    """Gives the resolver for look-ups whose answers matter only if they are genuine: its `authenticated` is true.

    Files are read at once, before confinement; the resolver is made when it is wanted.
    """

    def __init__(self, config: Config) -> None:
        """Raises ValueError for a `dns_resolver` that names no address, and for anchors that cannot be read."""
        configured, resolv_conf = config[DNS_RESOLVER], system_text(RESOLV_CONF)
        self._servers = choose_servers(configured, resolv_conf)
        self._options: dict[str, Any] = {
            "timeout": config[DNS_TIMEOUT],
            "attempts": config[DNS_ATTEMPTS],
            "cache_size": config[DNS_CACHE_SIZE],
            "hosts": Hosts(system_text(HOSTS)),
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
        if self._file:
            self()  # who has written anchors hears at once what is wrong with them

    def __call__(self) -> Resolver:
        """The resolver, the same each time."""
        if self._resolver is None:
            self._resolver = self._make()
        return self._resolver

    def _make(self) -> Resolver:
        if not self._validates:
            return Resolver(self._servers, believed=self._believed, **self._options)
        try:
            anchors = parse_anchors(self._anchors or ROOT)
        except ValueError as error:
            raise ValueError(f"{DNSSEC_TRUST_ANCHORS.name}: {self._file}: {error}") from None
        return ValidatingResolver(self._servers, anchors, **self._options)
