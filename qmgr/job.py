"""A message divided: into jobs by transport, these into peers by next hop, these into entries.

    Job     what one message has for one transport; jobs have their turns at the agents of the transport
    Peer    what a job has for one next hop; a peer waits in its job's ring, or where its destination keeps it
    Entry   recipients of one peer that go together; the unit that an agent is given

A peer lives as long as it has entries; a job as long as its message is in the active queue, so that a message that is
read in parts stays known as one to many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pillarbox.lib.queue import StoredRecipient

if TYPE_CHECKING:
    from pillarbox.qmgr.destination import Destination, NextHop
    from pillarbox.qmgr.message import ActiveMessage
    from pillarbox.qmgr.sources import Outgoing
    from pillarbox.qmgr.transport import Transport


@dataclass(eq=False, slots=True)
class Job:
    """What one message has for one transport."""

    message: ActiveMessage
    transport: Transport
    ring: list[Peer] = field(default_factory=list)
    """Peers that have not found their destination full; each in turn."""
    served: int = 0
    """Entries that agents were given; this makes a message one to many."""
    recipients: int = 0
    """Recipients in memory."""
    queued: bool = False
    """Whether it waits for its turn at the agents."""

    @property
    def fresh(self) -> bool:
        """Whether it has had few deliveries."""
        return self.served < self.transport.rules.fresh_until


@dataclass(eq=False, slots=True)
class Peer:
    """What a job has for one next hop."""

    job: Job
    nexthop: NextHop
    entries: list[Entry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Entry:
    """Recipients of one message that go the same way together."""

    job: Job
    nexthop: NextHop
    recipients: list[StoredRecipient]
    destination: Destination | None = None
    """Whose window it takes a place of, while it is under way."""
    handed: float = 0.0
    """When an agent got it, in seconds since the epoch."""
    source: Outgoing | None = None
    """The address that it goes out from, while it is under way, where its transport has several."""
    crashes: int = 0
    """Agents that did not survive it."""
    size: int = 0
    """Bytes that its recipients take in a request, estimated; 0: not counted yet."""

    @property
    def message(self) -> ActiveMessage:
        """The message."""
        return self.job.message
