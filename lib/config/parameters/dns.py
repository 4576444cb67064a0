"""Parameters of the DNS resolver that the network programs share."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, path, seconds, words

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

# --- DNSSEC, asked for where DANE or REQUIRETLS need it
DNSSEC_VALIDATION = choice(
    "dnssec_validation",
    "local",
    """Who says that DNS answers are genuine, at the TLS levels dane and dane-only: local: this system validates them
    itself, from dnssec_trust_anchors on; resolver: the DNS server does, and its word (the AD bit) counts if it is on
    this machine or dnssec_trusted_resolver says so; none: nobody, and no answer counts as genuine.""",
    ("local", "resolver", "none"),
)
DNSSEC_TRUSTED_RESOLVER = boolean(
    "dnssec_trusted_resolver",
    "no",
    """The way to the DNS servers is safe from forgery, so that their word counts wherever they are (see
    dnssec_validation).""",
)
DNSSEC_TRUST_ANCHORS = path(
    "dnssec_trust_anchors",
    "",
    """File with the DS or DNSKEY records with which local validation begins, as in a zone file; empty: those of the
    root zone.""",
)
