"""Messages for the user's own Maildir, as nearly all are: those that came together share their waits for the disk.

Nothing of a message is on disk before `finish`: a child that dies before has delivered nothing of what it had filed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pillarbox.lib.ipc import Channel, close_all, encode_frame
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.local.steps import Outcome, Report

TOGETHER: Final = 32
"""Messages that are filed before the disk is waited for; their descriptors are open meanwhile."""


class Filings:
    """Those of one child; their reports go to `channel`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._writer = MaildirWriter()
        self._waiting: list[tuple[Report, MaildirDelivery, Sequence[int]]] = []

    def add(self, report: Report, delivery: MaildirDelivery, descriptors: Sequence[int]) -> None:
        """Let a delivery be done with those that come, and its report go out then; takes the descriptors over."""
        self._waiting.append((report, delivery, descriptors))
        if len(self._waiting) >= TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Deliver what waits, and report.  Whoever begins something that takes time calls it before."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        failures = self._writer.deliver([delivery for _, delivery, _ in waiting])
        frames = []
        for (report, _, descriptors), failure in zip(waiting, failures, strict=True):
            close_all(descriptors)
            done = Outcome.sent("delivered to maildir") if failure is None else Outcome.failure(failure)
            report.outcomes.append(done)
            frames.append(encode_frame(report.members()))
        self._channel.send_raw(b"".join(frames))
