"""The one error that every client raises when its service cannot be asked."""

from __future__ import annotations


class ServiceUnavailable(Exception):
    """A service could not be reached, broke off or took too long.

    `reason` is for the log.  The caller defers or answers 4xx: a dead helper never makes mail bounce.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
