"""The time by which a message is to be delivered (RFC 2852), as envelopes carry it: "DEADLINE;MODE".

1795319943;RT    return it when it is not delivered by then; and tell of every relaying
1795319943;N     tell the sender when it is not delivered by then, and go on
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXPIRED = "delivery time expired"
"""The reason in reports about a deadline that has passed; its code is X.4.7 (RFC 3463 section 3.5)."""

_TEXT = re.compile(r"(-?[0-9]{1,12});([RN])(T?)")


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """`deadline` in seconds since the epoch; `returns`: the message goes back when the deadline passes (by-mode R)
    instead of being delivered late (N); `trace`: the sender is told when it is relayed."""

    deadline: int
    returns: bool
    trace: bool

    def passed(self, now: float) -> bool:
        """Whether the time is over."""
        return now >= self.deadline

    def parameter(self, now: float) -> str:
        """The value of the BY parameter for the next system: what is left of the time (RFC 2852 section 4.1.4)."""
        mode = "R" if self.returns else "N"
        return f"{int(self.deadline - now)};{mode}{'T' if self.trace else ''}"


def parse_deliver_by(text: str) -> DeliverBy | None:
    """What an envelope's `deliver_by` says; None for "" and for what is none."""
    match = _TEXT.fullmatch(text)
    return DeliverBy(int(match[1]), match[2] == "R", bool(match[3])) if match else None
