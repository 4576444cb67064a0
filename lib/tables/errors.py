"""The third outcome of a look-up."""

from __future__ import annotations


class LookupFailed(Exception):
    """The table could not say whether the key is there: the mail waits, it never bounces.

    `reason` names the table and what went wrong, for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TableError(Exception):
    """A table that cannot be used as asked (unknown type, not writable, cannot be listed): a fault of the caller."""
