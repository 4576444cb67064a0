"""A resolver as the parameters want it.

To be called before a program confines itself: it reads /etc/resolv.conf and /etc/hosts.  The sockets are opened
later, with the first look-up, in the event loop that makes it.
"""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.dns import DNS_ATTEMPTS, DNS_CACHE_SIZE, DNS_RESOLVER, DNS_TIMEOUT
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.resolver import Resolver
from pillarbox.lib.dns.servers import choose_servers

RESOLV_CONF = "/etc/resolv.conf"
HOSTS = "/etc/hosts"


def configured_resolver(config: Config) -> Resolver:
    """The resolver of a process.  Raises ValueError for a `dns_resolver` that names no address."""
    configured = config[DNS_RESOLVER]
    return Resolver(
        choose_servers(configured, system_text(RESOLV_CONF)),
        timeout=config[DNS_TIMEOUT],
        attempts=config[DNS_ATTEMPTS],
        cache_size=config[DNS_CACHE_SIZE],
        hosts=Hosts(system_text(HOSTS)),
    )


def system_text(path: str) -> str:
    """What a file of the system says, "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
