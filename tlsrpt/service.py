"""Taking outcomes in.

{"do": "record", "outcomes": [OUTCOME, ...]}     OUTCOME as `TlsOutcome.members` has it

There is no reply: whoever reports does not wait.
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.clients.tlsrpt import TlsOutcome
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError
from pillarbox.tlsrpt.counts import Counts
from pillarbox.tlsrpt.report import DAY


class Recorder:
    """`clock` in seconds since the epoch: an outcome counts for the day on which it comes in."""

    def __init__(self, counts: Counts, clock: Callable[[], float]) -> None:
        self._counts = counts
        self._clock = clock

    async def serve(self, channel: AsyncChannel) -> None:
        """Serve one connection to its end; raises ChannelClosed, ProtocolError."""
        while True:
            self.take(await channel.receive())

    def take(self, request: Attributes) -> None:
        """Count what a request tells.  Raises ProtocolError for one that no program of ours would make."""
        if (verb := request.text("do")) != "record":
            raise ProtocolError(f'unknown request "{verb}"')
        outcomes = [TlsOutcome.parse(group) for group in request.groups("outcomes")]
        self._counts.add(int(self._clock() // DAY), outcomes)
