"""A queue with a past: any number of messages in deferred/ within seconds, as if they had been tried before.

The files are what cleanup and qmgr would have left there, the reasons in defer/ included; only no program had to run
for it.  The queue must be at rest.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pillarbox.lib.queue import Envelope, Recipient, compose_header, encode_id
from pillarbox.lib.queue.file import first_line
from pillarbox.lib.queue.outcomes import Outcome, append

LINKS = 30_000
"""Logs that share one file: fewer than any file system's limit of links."""

SIZE = 1000
"""Octets of content."""

REASON = "connect to mx.dead.test[192.0.2.1]:25: Connection timed out"


def fill(spool: Path, count: int, *, domains: int = 1000, due_in: float = 86400.0, age: float = 3600.0) -> list[str]:
    """Make deferred messages to `domains` domains (`dN.dead.test`), next tried in `due_in` seconds; their ids."""
    now = time.time()
    with _as_owner(spool):
        recipients = (f"user@d{number % domains:06d}.dead.test" for number in range(count))
        ids = list(_write(spool / "deferred", recipients, now - age, now + due_in))
        _explain(spool, ids, now - 10)
    return ids


def put_in(spool: Path, recipients: Iterable[str]) -> list[str]:
    """Make new messages to one recipient each, in incoming/, in this order; their ids."""
    now = time.time()
    with _as_owner(spool):
        return list(_write(spool / "incoming", recipients, now, now))


@contextlib.contextmanager
def _as_owner(spool: Path) -> Iterator[None]:
    """As root the files are written as the owner of the queue."""
    owner = (spool / "deferred").stat()
    saved = os.geteuid(), os.getegid()
    if saved[0] == 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(saved[0])
        os.setegid(saved[1])


def _write(directory: Path, recipients: Iterable[str], arrival: float, due: float) -> Iterator[str]:
    content = b"Subject: old\n\n" + b"x" * (SIZE - 15) + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for number, address in enumerate(recipients):
        header, offset = compose_header(Envelope("sender@example.org", (Recipient(address),), arrival))
        first = first_line(offset, len(content), 1)
        queue_id = encode_id(int(arrival * 1e6) + number, number + 1)
        descriptor = os.open(f"{directory}/{queue_id}", flags, 0o600)
        os.write(descriptor, first + header[len(first) :] + content)
        os.utime(descriptor, (due, due))
        os.close(descriptor)
        yield queue_id


def _explain(spool: Path, ids: list[str], when: float) -> None:
    """Reasons for all of them: every record stands at the same place, so one log does for many."""
    recipient = Recipient("user@d000000.dead.test")
    header, _ = compose_header(Envelope("sender@example.org", (recipient,), when))
    n = header.index(b"\nT{") + 1
    for start in range(0, len(ids), LINKS):
        first = f"{spool}/defer/{ids[start]}"
        descriptor = os.open(first, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        append(descriptor, [Outcome(recipient, n, "delayed", "4.4.1", REASON, when)])
        os.close(descriptor)
        for queue_id in ids[start + 1 : start + LINKS]:
            os.link(first, f"{spool}/defer/{queue_id}")
