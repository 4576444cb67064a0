"""Queue files as a disk may give them back."""

from __future__ import annotations

import os

from pillarbox.lib.queue.file import CorruptQueueFile, QueueFile


def fuzz(data: bytes) -> None:
    """A file that is none, or no longer one, is CorruptQueueFile."""
    descriptor = os.memfd_create("queue-file")
    try:
        os.write(descriptor, data)
        try:
            for _ in QueueFile(descriptor).recipients():
                pass
        except CorruptQueueFile:
            pass
    finally:
        os.close(descriptor)
