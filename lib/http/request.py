"""One HTTP/1.1 request, which ends the connection (RFC 9112 section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pillarbox.lib.http.place import HttpPlace


def compose_request(
    method: Literal["GET", "POST"], place: HttpPlace, fields: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """The octets to send."""
    lines = [f"{method} {place.target} HTTP/1.1", f"Host: {place.authority}"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
