"""Why recipients of a message were deferred or have failed: the logs `spool/defer/ID` and `spool/bounce/ID`.

    {"address":"bob@example.net","status":"4.4.1","text":"connect to ...","when":1795319643.9,"n":151, ...}

One JSON object per line and recipient, appended.  Where a recipient (its record `n` in the queue file) stands twice,
the later line holds.  A last line without its line feed is what a crash has left, and is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.ipc.frames import decode_payload
from pillarbox.lib.queue.directories import LOGS
from pillarbox.lib.queue.envelope import Recipient
from pillarbox.lib.queue.ids import is_queue_id
from pillarbox.lib.system.files import write_all

FAILED, DELAYED, DELIVERED, RELAYED, EXPANDED = "failed", "delayed", "delivered", "relayed", "expanded"
"""What happened, in the words of RFC 3464 section 2.3.3."""

TRACED = "traced"
"""Relayed, and the sender is told unless NOTIFY is NEVER (RFC 2852 section 4.1.4); a report says `relayed`."""

TOLD = "told"
"""Failed, and its sender has been told in a report on this recipient alone (VERP)."""

ACTIONS = (FAILED, DELAYED, DELIVERED, RELAYED, EXPANDED, TRACED, TOLD)

TEXT_LIMIT = 4000
"""Characters kept of a reason; a remote server may say more."""

_READ_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one recipient at `when` (seconds since the epoch).

    `n` is its record in the queue file, `action` one of ACTIONS, `status` an enhanced status code, `text` the reason.
    `until` is when one that waits is given up (seconds since the epoch); 0: with the message, as the parameters say.
    """

    recipient: Recipient
    n: int
    action: str
    status: str
    text: str
    when: float
    relay: str = ""
    remote_mta: str = ""
    diagnostic: str = ""
    until: float = 0.0

    def members(self) -> dict[str, object]:
        """What is written to a frame or a log: only what differs from the default."""
        members: dict[str, object] = {
            **self.recipient.members(),
            "n": self.n,
            "action": self.action,
            "status": self.status,
            "text": self.text[:TEXT_LIMIT],
            "when": self.when,
        }
        for name in ("relay", "remote_mta", "diagnostic"):
            if value := getattr(self, name):
                members[name] = value[:TEXT_LIMIT]
        if self.until:
            members["until"] = self.until
        return members

    @classmethod
    def parse(cls, frame: Attributes) -> Outcome:
        """Raises ProtocolError where the members are not those of an outcome."""
        action = frame.text("action")
        if action not in ACTIONS:
            raise ProtocolError(f'"{action}" is not an action')
        return cls(
            Recipient.parse(frame),
            frame.integer("n"),
            action,
            frame.text("status"),
            frame.text("text"),
            frame.number("when"),
            frame.text("relay", ""),
            frame.text("remote_mta", ""),
            frame.text("diagnostic", ""),
            frame.number("until", 0.0),
        )


def log_path(directory: str, kind: str, queue_id: str) -> str:
    """The log of a message; `kind` is "defer" or "bounce".  Raises ValueError for what cannot name one."""
    if kind not in LOGS or not is_queue_id(queue_id):
        raise ValueError(f'there is no log "{kind}/{queue_id}"')
    return f"{directory}/{kind}/{queue_id}"


def append(descriptor: int, outcomes: Iterable[Outcome]) -> None:
    """Write outcomes to an open log (O_APPEND); does not sync.

    Raises OSError; the log then has its former length.
    """
    before = os.fstat(descriptor).st_size
    lines = [json.dumps(outcome.members(), separators=(",", ":")) + "\n" for outcome in outcomes]
    data = "".join(lines).encode("ascii")
    if before and os.pread(descriptor, 1, before - 1) != b"\n":
        data = b"\n" + data  # a crash has left half a line
    try:
        write_all(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def read(path: str) -> Iterator[Outcome]:
    """The outcomes in a log as they stand there, one at a time; none where there is no log.  Raises OSError.

    Lines that cannot be read are passed over: a log is a record for people, the queue file is what counts.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with open(descriptor, "rb", buffering=_READ_SIZE) as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            try:
                yield Outcome.parse(decode_payload(line))
            except ProtocolError:
                continue


def latest(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The last word on each recipient, in the order in which the recipients first appear."""
    found: dict[int, Outcome] = {}
    for outcome in outcomes:
        found[outcome.n] = outcome
    return list(found.values())
