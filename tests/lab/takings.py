"""What the crowd knows of each copy that it took; see `Crowd.takings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Taking:
    """One message, taken for one recipient.  Times are seconds of the monotonic clock."""

    recipient: str
    server: str
    """The address under which it was taken."""
    port: int
    """The client's."""
    size: int
    """Octets of the content."""
    begun: float
    """When the client was told to send the content (354), or announced it (BDAT)."""
    first: float
    """When the first octets of the content were there."""
    taken: float
    """When all of it was there."""
    replied: float = 0.0
    """When the positive reply was written; 0: it never was, the client had gone."""
    lost: bool = False
    """The reply was not sent on purpose (`Rule.flaky`)."""
