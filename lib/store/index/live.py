"""An index that is followed: the newest state of the mailbox that is known, and what a session was not told of yet.

`read` takes in what others wrote; `commit` adds to it under the lock.  `told` is the table that the session shows;
`latest` runs ahead of it.  Where the file cannot be written, all goes on in memory, for this session alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.store.index.base import Base, Columns, build, in_memory
from pillarbox.lib.store.index.file import IndexFile, Seen, Writer
from pillarbox.lib.store.index.layout import Damaged, Record, State, last_frames, pack_frame, parse_frames
from pillarbox.lib.store.index.table import Table

LOG_LEAST: Final = 32 * 1024
LOG_SHARE: Final = 64
"""The log is taken into new columns when it is larger than 32 KiB and than this part of the columns."""
MOST_APART: Final = 2000
"""Or when so many rows changed."""
MOST_PENDING: Final = 4000
"""Changes that a session has not been told of are remembered one by one up to here; more are found by comparison."""
LOG_REPEATED: Final = 64 * 1024
"""Octets of the log that a new file repeats, for sessions that had not read them."""
MOST_VANISHED: Final = 16384
"""Vanished messages that are remembered (RFC 7162 section 5 lets a server forget)."""


def next_modseq(last: int) -> int:
    """The modification sequence of a change that happens now.

    The time in microseconds, so that it is above every one that an index told of which is no more.
    """
    return max(last + 1, time.time_ns() // 1000)


class Live:
    """The index in `file`; None: in memory from the start."""

    def __init__(self, file: IndexFile | None) -> None:
        self._file = file
        self._writer: Writer | None = None
        self._seen: Seen | None = None
        self._position = 0  # logical, up to which the log is in `latest`
        self.latest: Table | None = None
        """None: there is no index that can be used."""
        self.told: Table | None = None
        self.pending: list[Record] = []
        """What came into `latest` and not into `told`."""
        self.jumped = False
        """What came is not known one by one: compare the tables."""

    @property
    def private(self) -> bool:
        """Whether the file is not used."""
        return self._file is None

    # --- reading

    def read(self) -> None:
        """Take in what others wrote; without a usable file `latest` becomes None."""
        if self._file is None:
            return
        try:
            seen = self._file.look()
            latest = self.latest
            if seen is not None and seen == self._seen and (latest is None or not latest.base.damaged):
                return
            if (latest is not None and latest.base.damaged) or seen is None:
                self.lose()
            elif latest is not None and latest.base.identity == seen[:2]:
                self._read_on(latest, seen)
            else:
                self._read_another(self._file.open(), latest)
        except (OSError, Damaged):
            self.lose()

    def lose(self) -> None:
        """What was read cannot be used."""
        self.latest, self._seen = None, None

    def _read_on(self, latest: Table, seen: Seen) -> None:
        end = latest.base.end + self._position - latest.base.header.log_start
        if seen[2] < end:
            raise Damaged("the index was cut short")
        frames, size = parse_frames(latest.base.log(self._position, seen[2]))
        self._seen = seen
        if not frames:
            return
        self._position += size
        records = [record for frame in frames for record in frame.records]
        if records:
            if self.told is latest:
                self.latest = latest = latest.clone()
            self._wait(records)
            latest.apply(records)
        latest.state = frames[-1].state

    def _read_another(self, base: Base, before: Table | None) -> None:
        header = base.header
        if base.damaged:
            raise Damaged("the index is known to be damaged")
        seen = self._file.look() if self._file is not None else None
        if seen is None or seen[:2] != base.identity:
            raise Damaged("the index was replaced again")
        if seen[2] < base.end + header.log_applied - header.log_start:
            raise Damaged("the index is cut short")
        frames, size = parse_frames(base.log(header.log_applied, seen[2]))
        known = None
        follows = before is not None and before.base.header.lineage == header.lineage
        read = before or self.told
        if (
            read is not None
            and read.base.header.lineage == header.lineage
            and header.log_applied + size < self._position
        ):
            raise Damaged("the index is an older one: modification sequences that it gives may have been told already")
        if follows and header.log_start <= self._position <= header.log_applied:
            missed, _ = parse_frames(base.log(self._position, base.end + header.log_applied - header.log_start))
            known = [record for frame in (*missed, *frames) for record in frame.records]
        for name in ("modseqs", "uids", "marks"):  # what a snapshot cannot be without
            base.column(name)
        table = Table(base)
        table.replay(frames)
        self.latest = table
        self._position = header.log_applied + size
        self._seen = seen
        if known is None:
            self.jumped = True
            self.pending = []
        else:
            self._wait(known)

    def _wait(self, records: Sequence[Record]) -> None:
        """The session is yet to be told of these."""
        self.pending += records
        if len(self.pending) > MOST_PENDING:
            self.jumped = True
            self.pending = []

    # --- writing

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, with everything read that others wrote.  Raises MailboxBusy."""
        if self._file is None or self._writer is not None:
            yield
            return
        try:
            holding = self._file.locked()
            writer = holding.__enter__()
        except OSError:
            self.do_without()
            yield
            return
        try:
            self._writer = writer
            self.read()
            yield
        finally:
            self._writer = None
            holding.__exit__(None, None, None)

    def do_without(self) -> None:
        """Go on in memory: the file cannot be written."""
        self._file = self._writer = None

    def commit(self, records: Sequence[Record], state: State, *, own: bool = False) -> None:
        """Note changes; `state` gives all but the counts.  `own`: the session is told of them at once.

        Call inside `locked`, with `latest` at hand.
        """
        latest = self.latest
        assert latest is not None
        shared = self.told is latest
        if records and shared and not own:
            self.latest = latest = latest.clone()
        latest.apply(records)
        latest.state = _with_counts(state, latest.state)
        if records and not own:
            self._wait(records)
        if own and not shared and self.told is not None:
            self.told.apply(records)
            # Not the modification sequence: changes by others below it are yet to be told.
        if self._writer is None:
            return
        frame = pack_frame(records, latest.state)
        base = latest.base
        try:
            end = self._writer.append(frame, base.end + self._position - base.header.log_start)
            self._position += len(frame)
            self._seen = (*base.identity, end)
            log = self._position - base.header.log_applied
            if latest.kept_apart > MOST_APART or log > max(LOG_LEAST, base.end // LOG_SHARE):
                self._take_in(latest)
        except Damaged:
            pass  # the next look makes it anew
        except OSError:
            self.do_without()

    def _take_in(self, latest: Table) -> None:
        """Write the columns anew, with the log in them.  Raises OSError."""
        assert self._writer is not None and self._file is not None
        columns, floor = latest.columns(MOST_VANISHED)
        header = latest.base.header
        size = latest.base.end + self._position - header.log_start
        repeated = last_frames(latest.base.log(header.log_applied, size), LOG_REPEATED)
        data = build(
            columns,
            latest.state,
            uid_validity=header.uid_validity,
            guid=header.guid,
            floor=floor,
            lineage=header.lineage,
            log_start=self._position - len(repeated),
            log=repeated,
        )
        self._writer.replace(data)
        self._use(self._file.open(), self.told is latest)

    def _use(self, base: Base, shared: bool) -> None:
        table = Table(base)
        self.latest = table
        if shared:
            self.told = table
        self._position = base.header.log_applied
        self._seen = (*base.identity, base.end + base.header.log_applied - base.header.log_start)

    def start_anew(self, columns: Columns, state: State, *, uid_validity: int, guid: bytes) -> None:
        """Write an index that knows nothing of earlier ones.  Call inside `locked`."""
        state = columns.state(state)
        data = build(columns, state, uid_validity=uid_validity, guid=guid, floor=state.modseq)
        base = None
        if self._writer is not None and self._file is not None:
            try:
                self._writer.replace(data)
                base = self._file.open()
            except (OSError, Damaged):
                self.do_without()
        self._use(base or in_memory(data), False)
        self.jumped = True
        self.pending = []

    # --- telling

    def tell(self, record: Record) -> None:
        """The session learns now what `latest` has already."""
        if self.told is not None and self.told is not self.latest:
            self.told.apply([record])

    def catch_up(self) -> None:
        """The session has been told of everything."""
        self.told = self.latest
        self.pending = []
        self.jumped = False


def _with_counts(state: State, counted: State) -> State:
    return state._replace(
        messages=counted.messages,
        unseen=counted.unseen,
        deleted=counted.deleted,
        fresh=counted.fresh,
        size=counted.size,
        unsized=counted.unsized,
    )
