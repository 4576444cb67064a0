"""Queue files for tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pillarbox.lib.queue import Envelope, Recipient, compose_header, encode_id
from pillarbox.lib.queue.file import HEADER_SIZE, first_line


def put_message(
    spool: Path,
    queue: str,
    content: bytes = b"Subject: x\n\nbody\n",
    *,
    sender: str = "a@x.test",
    recipients: tuple[Recipient, ...] = (Recipient("b@y.test"),),
    arrival: float = 1795319643.0,
    release: float = 0,
    hold: str = "",
) -> str:
    """Write a message into a directory of the queue; its id."""
    temporary = spool / queue / ".new"
    head, offset = compose_header(Envelope(sender, recipients, arrival, origin="pickup", release=release, hold=hold))
    temporary.write_bytes(first_line(offset, len(content), len(recipients)) + head[HEADER_SIZE:] + content)
    queue_id = encode_id(time.time_ns() // 1000, temporary.stat().st_ino)
    os.rename(temporary, spool / queue / queue_id)
    return queue_id
