"""The question about a token: an HTTP request."""

from __future__ import annotations

import base64
from urllib.parse import quote_plus, urlencode

from pillarbox.lib.config.oauth import Endpoint
from pillarbox.lib.http import HttpPlace, compose_request


def question(endpoint: Endpoint, place: HttpPlace, token: str) -> bytes:
    """The request (RFC 7662 section 2.1), with our credentials (RFC 6749 section 2.3.1)."""
    form = {"token": token, "token_type_hint": "access_token"}
    fields = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if endpoint.client_secret:
        match endpoint.method:
            case "basic":
                pair = f"{quote_plus(endpoint.client_id)}:{quote_plus(endpoint.client_secret)}"
                fields["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            case "post":
                form |= {"client_id": endpoint.client_id, "client_secret": endpoint.client_secret}
            case _:
                fields["Authorization"] = f"Bearer {endpoint.client_secret}"
    return compose_request("POST", place, fields, urlencode(form).encode())
