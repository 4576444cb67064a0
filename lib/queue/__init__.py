"""The file-system queue: ids, the format of a queue file, the directories.  `docs/queue.md` argues its crash safety."""

from pillarbox.lib.queue.directories import QUEUES, Queue, find
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.queue.file import CorruptQueueFile, QueueFile, StoredRecipient, compose_header, mark_done
from pillarbox.lib.queue.ids import decode_id, encode_id, is_queue_id

__all__ = [
    "QUEUES",
    "CorruptQueueFile",
    "Envelope",
    "Queue",
    "QueueFile",
    "Recipient",
    "StoredRecipient",
    "compose_header",
    "decode_id",
    "encode_id",
    "find",
    "is_queue_id",
    "mark_done",
]
