"""Parameters of the DNS resolver that the network programs share."""

from __future__ import annotations

from pillarbox.lib.config.parameter import integer, seconds, words

DNS_RESOLVER = words(
    "dns_resolver",
    "",
    """The DNS servers to ask, each ADDRESS, ADDRESS:PORT or [IPV6ADDRESS]:PORT, in order of preference.
    Empty: the name servers in /etc/resolv.conf.""",
)
DNS_TIMEOUT = seconds("dns_timeout", "5s", "How long to wait for one DNS server before the next is asked.")
DNS_ATTEMPTS = integer(
    "dns_attempts",
    "2",
    "How often the list of DNS servers is gone through before a look-up fails.",
    minimum=1,
    maximum=10,
)
DNS_CACHE_SIZE = integer(
    "dns_cache_size", "10000", "How many DNS answers one process remembers; 0 remembers none.", maximum=1000000
)
