"""The logs on disk: appending for many requests with one wait for the disk, and the mark that a warning was sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pillarbox.lib.queue import outcomes
from pillarbox.lib.queue.directories import LOGS
from pillarbox.lib.queue.file import TODO
from pillarbox.lib.queue.outcomes import TOLD, TRACED, Outcome, log_path
from pillarbox.lib.system.files import sync_batch

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o600
WARNED = stat.S_IXUSR
"""The execute bit of a log "defer" says that the sender has been warned; it survives emptying the log."""

TOLD_LATE = stat.S_IXGRP
"""The same for having told that the time by which the sender wanted the message delivered has passed (RFC 2852)."""


REPORTED = stat.S_IXOTH
"""The same for the report on the first attempt (`sendmail -v`)."""

TIDY_SIZE = 16 * 1024
"""Bytes of a log that are not worth looking for what later lines have replaced."""


class Logs:
    """The logs under one queue directory.  Methods raise OSError where the disk does."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def path(self, kind: str, queue_id: str) -> str:
        """Raises ValueError for what cannot name a log."""
        return log_path(self._directory, kind, queue_id)

    async def append(
        self, kind: str, queue_id: str, outcome: Outcome, *, fresh: bool = False, tidy: bool = False
    ) -> None:
        """Append; a failure is on disk when this returns.  All that wait in one turn of the loop share the sync.

        Why a recipient waits is not synced: should power fail, the next attempt says it again.

        `fresh` empties the log first; `tidy` drops what later lines have replaced, where the log has become long.

        The name of a new log is not synced: should power fail, the recipients are still to do in the queue file, and
        the next pass writes the log again.
        """
        descriptor = os.open(self.path(kind, queue_id), _FLAGS, _MODE)
        try:
            if fresh:
                os.ftruncate(descriptor, 0)
            elif tidy and os.fstat(descriptor).st_size > TIDY_SIZE:
                last_words = self.read(kind, queue_id)
                os.ftruncate(descriptor, 0)
                outcomes.append(descriptor, last_words)
            outcomes.append(descriptor, (outcome,))
        except BaseException:
            os.close(descriptor)
            raise
        if kind == "defer":
            os.close(descriptor)
            return
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._sync)
        self._waiting.append((descriptor, written))
        await written

    def _sync(self) -> None:
        batch, self._waiting = self._waiting, []
        failure: OSError | None = None
        try:
            sync_batch([descriptor for descriptor, _ in batch])
        except OSError as error:
            failure = error
        for descriptor, written in batch:
            os.close(descriptor)
            if written.done():
                continue
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(OSError(failure.errno, failure.strerror))

    def read(self, kind: str, queue_id: str) -> list[Outcome]:
        """The last word on each recipient."""
        return outcomes.latest(outcomes.read(self.path(kind, queue_id)))

    def told(self, queue_id: str, mark: int) -> bool:
        """Whether the sender has been told what `mark` stands for, or there is nothing to tell of."""
        try:
            return bool(os.stat(self.path("defer", queue_id)).st_mode & mark)
        except FileNotFoundError:
            return True

    def marked(self, queue_id: str, mark: int) -> bool:
        """Whether the log says that the sender has been told; not where there is none."""
        return os.path.lexists(self.path("defer", queue_id)) and self.told(queue_id, mark)

    def mark_told(self, queue_id: str, mark: int) -> None:
        """Remember that the sender has been told, for as long as the message waits."""
        path = self.path("defer", queue_id)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(path, os.stat(path).st_mode & 0o777 | mark)

    def remove(self, queue_id: str, kinds: tuple[str, ...] = LOGS) -> None:
        """Remove logs; one that does not exist is no error."""
        for kind in kinds:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(kind, queue_id))


def note_told(path: str, told: Iterable[Outcome]) -> None:
    """Note in the log at `path` that the sender has been told of some failures: should the rest of the reports have to
    wait, these are not repeated.  Not synced; a crash repeats them."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        outcomes.append(descriptor, [replace(outcome, action=TOLD) for outcome in told])
    finally:
        os.close(descriptor)


class Selection:
    """The outcomes of one log that a report is about, read from disk again on each call: a list of any length.

    `actions` and `event` choose: outcomes with one of these actions, of recipients whose NOTIFY allows the event.
    With `marks`, the descriptor of the queue file, only those that are done: who is still to do has an entry that a
    crash, or a late answer of ours, has made worthless.
    """

    def __init__(self, path: str, actions: tuple[str, ...], event: str, marks: int = -1) -> None:
        self._path = path
        self._actions = actions
        self._event = event
        self._marks = marks
        self._lines: dict[int, int] = {}
        for line, outcome in enumerate(outcomes.read(path)):
            self._lines[outcome.n] = line

    def __call__(self) -> Iterator[Outcome]:
        """The chosen outcomes, the last word on each recipient only."""
        for line, outcome in enumerate(outcomes.read(self._path)):
            if self._lines.get(outcome.n) != line or outcome.action not in self._actions:
                continue
            if self._marks >= 0 and os.pread(self._marks, 1, outcome.n) == TODO:
                continue
            event = "deadline" if outcome.action == TRACED and self._event != "any" else self._event
            if wants(outcome.recipient.notify, event):
                yield outcome

    def __bool__(self) -> bool:
        return next(self(), None) is not None


def wants(notify: tuple[str, ...], event: str) -> bool:
    """Whether NOTIFY asks for a report on "failure", "delay" or "success"; without NOTIFY the first two
    (RFC 3461 section 4.1).  "deadline" is one of RFC 2852, which everyone gets who does not forbid all reports; "any"
    is what was asked for by other means."""
    if event == "any":
        return True
    if event == "deadline":
        return "never" not in notify
    return event in notify if notify else event in ("failure", "delay")
