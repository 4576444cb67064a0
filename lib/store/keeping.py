"""What clients know a mailbox by, kept when the mailbox moves into another store: UIDVALIDITY, UIDs, the modification
sequences, MAILBOXID and POP3 unique-ids (RFC 9051 section 2.3.1.1, RFC 7162, RFC 8474, RFC 1939).

A mailbox without messages is filled under UIDs that the caller names, while it still goes by a UIDVALIDITY of its own:
nobody's cache is in doubt as long as it is not whole.  `finish` gives it the identity of the mailbox that it is to be,
in one step; who has it open must then select it anew.  UIDs below a border are kept free for what is yet to come; mail
that is delivered meanwhile gets higher ones.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.delivering import Delivery, Outcomes

RESERVE: Final = 1 << 16
"""UIDs above the source's UIDNEXT that the target does not give.

The source may be used for a while yet: what comes there gets UIDs that clients remember, and that must not mean
another message in the target.
"""
MOST_UID: Final = (1 << 32) - 2
_ROOM: Final = 1 << 20
"""Numbers that must be left for what the target gives from then on."""
_MOMENTS: Final = 1 << 34
"""Seconds from the epoch to what is no time of a message any more (the year 2514)."""
_OBJECT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_UIDL: Final = re.compile(r"[!-~]{1,70}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What clients know a mailbox by."""

    uid_validity: int
    uid_next: int
    """UIDs from here on were never given."""
    modseq: int = 0
    """HIGHESTMODSEQ; 0 where there is none."""
    mailbox_id: str = ""
    """MAILBOXID; "" where it follows from UIDVALIDITY (`id_of`)."""

    @property
    def border(self) -> int:
        """The first UID that the target may give."""
        return min(self.uid_next + RESERVE, MOST_UID)

    @property
    def lasts(self) -> bool:
        """Whether a store can go on from there: it comes from files that anybody may have written."""
        return (
            0 < self.uid_validity <= MOST_UID - _ROOM
            and 0 < self.uid_next <= MOST_UID - _ROOM
            and 0 <= self.modseq < 1 << 62
        )


def id_of(uid_validity: int) -> str:
    """MAILBOXID of a mailbox that has none of its own."""
    return f"V{uid_validity:x}"


def object_id(text: str) -> str:
    """The text, if it is one of RFC 8474 section 4, else ""."""
    return text if _OBJECT_ID.fullmatch(text) else ""


def unique_id(text: str) -> str:
    """The text, if it is one of RFC 1939 section 7, else ""."""
    return text if _UIDL.fullmatch(text) else ""


def moment(value: object) -> float | None:
    """Seconds since the epoch, if it is a time that a message can have."""
    return float(value) if isinstance(value, int | float) and -_MOMENTS < value < _MOMENTS else None


@dataclass(frozen=True, slots=True)
class Kept:
    """A message with its UID."""

    uid: int
    delivery: Delivery
    saved: float | None = None
    """SAVEDATE, seconds since the epoch; None: unknown."""
    uidl: str = ""
    """The POP3 unique-id, "" where it is the one that the store makes of UID and UIDVALIDITY."""


class Restoring(ABC):
    """A mailbox that is being filled."""

    token: int
    """Names this filling, to take it up again in another process: the mailbox's UIDVALIDITY as long as it lasts."""

    @abstractmethod
    def put(self, batch: Sequence[Kept]) -> Outcomes:
        """Store messages, ascending by UID, durably; one whose UID is there already is passed over.

        Raises NotPossible where the mailbox is not the one any more that was begun, and the errors of `Store.deliver`.
        """

    @abstractmethod
    def finish(self, identity: Identity) -> None:
        """Give the mailbox its identity.  Durable; done before the process dies, or not at all.  Raises StoreError."""
