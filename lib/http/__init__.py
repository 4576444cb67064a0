"""HTTP/1.1 as much as one question and its answer need: to an authorization server, for a policy, with a report.

    place = HttpPlace.of("https://as.example/introspect", context)
    response = await exchange(place, compose_request("GET", place), resolver, timeout=60.0)    # raises HttpFailed

`request` composes, `response` reads (sans-I/O, strict), `exchange` is the way there.  Of our own because the standard
library's client blocks, asks the resolver of the C library instead of `dns_resolver`, and has no ceiling for a body;
and because a client that does more (redirects, cookies, compression, reuse) is more than a confined room shall do.
"""

from pillarbox.lib.http.exchange import HttpFailed, Response, exchange
from pillarbox.lib.http.place import HttpPlace
from pillarbox.lib.http.request import compose_request
from pillarbox.lib.http.response import BODY_LIMIT, HEAD_LIMIT, BadResponse, ResponseReader

__all__ = [
    "BODY_LIMIT",
    "HEAD_LIMIT",
    "BadResponse",
    "HttpFailed",
    "HttpPlace",
    "Response",
    "ResponseReader",
    "compose_request",
    "exchange",
]
