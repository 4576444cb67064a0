"""The DNS as a mail system needs it: an asynchronous stub resolver with three outcomes that can't be confused.

    resolver = configured_resolver(config)                 # before confinement: it reads two files
    outcome = await resolver.mx("example.org")             # Answer | Absent | Failed
    who = await resolver.client_name("192.0.2.1")         # ClientName(name="unknown", status="temporary", ...)

The codec (`codec`, `names`) is sans-I/O; `endpoint` is the way to one server; `resolver` ties them together.
With DNSSEC: `authentic` gives a resolver whose `authenticated` can be relied on.
"""

from pillarbox.lib.dns.client_name import UNKNOWN, ClientName
from pillarbox.lib.dns.configured import configured_resolver
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.names import BadName, reverse_name
from pillarbox.lib.dns.resolver import Resolver
from pillarbox.lib.dns.servers import Server, choose_servers, parse_server
from pillarbox.lib.dns.types import MX, TLSA, Absent, Answer, Failed, Outcome, RecordType

__all__ = [
    "MX",
    "TLSA",
    "UNKNOWN",
    "Absent",
    "Answer",
    "BadName",
    "ClientName",
    "Failed",
    "Hosts",
    "Outcome",
    "RecordType",
    "Resolver",
    "Server",
    "choose_servers",
    "configured_resolver",
    "parse_server",
    "reverse_name",
]
