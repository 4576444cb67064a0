"""Where a request goes: an http or https URL taken apart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """`authority` is `HOST[:PORT]` as the Host field has it; `tls` verifies the server, None: clear text."""

    host: str
    port: int
    target: str
    authority: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, tls: ssl.SSLContext | None) -> HttpPlace:
        """The place of a URL; `tls` counts for https only.  Raises ValueError for what is no such URL."""
        if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
            raise ValueError("a URL has no blanks, control or other than ASCII characters")
        parts = urlsplit(url)
        default = _PORTS.get(parts.scheme)
        if default is None or not parts.hostname:
            raise ValueError("an http or https URL was expected")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc.rpartition("@")[2]
        return cls(parts.hostname, parts.port or default, target, authority, tls if parts.scheme == "https" else None)
