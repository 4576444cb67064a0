"""Where a filter before the queue listens, as smtpd_proxy_filter names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_INET: Final = re.compile(r"(?:inet:)?(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*):)?([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a filter listens: a path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """`host:port`, `port`, `inet:host:port` or `unix:path`.  Raises ValueError.

        A name would have to be looked up, so only `localhost` is taken.
        """
        if text.startswith("unix:/"):
            return cls(path=text.removeprefix("unix:"))
        match = _INET.fullmatch(text)
        if match is None or not 0 < int(match[2]) < 65536:
            raise ValueError(f'host:port, inet:host:port or unix:/path was expected, not "{text}"')
        host = (match[1] or "127.0.0.1").strip("[]")
        host = "127.0.0.1" if host == "localhost" else host
        if not re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
            raise ValueError(f'an IP address or localhost was expected, not "{host}"')
        return cls(host=host, port=int(match[2]))

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"
