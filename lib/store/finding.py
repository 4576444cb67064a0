"""What a look for damage in a store has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    mailbox: str
    """"" for the account as a whole."""
    what: str
    harmless: bool = False
    """Nobody notices it; mending makes something smaller or quicker."""
    mended: bool = False
    untouched: bool = False
    """The mailbox should not be opened before this is mended: that would settle it by giving UIDs anew."""
