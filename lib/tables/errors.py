"""The third outcome of a look-up."""

from __future__ import annotations


class LookupFailed(Exception):
    """The table could not say whether the key is there: the mail waits, it never bounces.

    `reason` names the table and what went wrong, for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TableChanged(LookupFailed):
    """The table's file was replaced and this process may not open the new one; a process started anew may.

    What is still in memory is out of date: to answer "not there" from it could bounce mail for a user who was added.
    """


class TableError(Exception):
    """A table that cannot be used as asked (unknown type, not writable, cannot be listed): a fault of the caller."""
