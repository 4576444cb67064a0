"""Which servers one delivery has been at, how many more it may go to, and whether its next hop is to blame."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.smtp_client.route import Server


class Visits:
    """Of one delivery; `limit` is the number of servers that may be talked to, 0 for any number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions = 0
        self._seen: set[str] = set()
        self._reached = False
        self.site = ""
        """Why nobody can be reached there; "" where somebody was, or nothing was tried."""

    @property
    def exhausted(self) -> bool:
        """Whether as many servers as may be have been talked to (smtp_mx_session_limit)."""
        return self._limit > 0 and self._sessions >= self._limit

    def ahead(self, servers: Iterable[Server]) -> list[Server]:
        """Those where the delivery has not been, in the same order."""
        return [server for server in servers if server.key not in self._seen]

    def saw(self, server: Server) -> None:
        """There was nobody, or nothing was said: it is not tried again."""
        self._seen.add(server.key)

    def answered(self, server: Server) -> None:
        """It spoke; how many may do so is limited."""
        if server.key not in self._seen:
            self._seen.add(server.key)
            self._sessions += 1

    def talked(self, server: Server) -> None:
        """It was told about the message, so the next hop is alive."""
        self.answered(server)
        self._reached, self.site = True, ""

    def blame(self, text: str) -> None:
        """The next hop is unusable, as far as can be said now."""
        if not self._reached:
            self.site = text
