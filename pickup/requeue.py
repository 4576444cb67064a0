"""Queue files that `postsuper -r` has moved to maildrop/: each goes through cleanup again and gets a new queue id.

Addresses are rewritten and expanded, header and body checked by the rules of today; milters and the content filter do
not see it again, and no further blind copies are made (postsuper(1)).  Only recipients that are still to do go along,
and the time of arrival stays: who requeues mail does not lengthen its life.

Only a file of the mail owner's is taken for one: nobody else can make such a file there.  While an agent still works on
the message its file is locked, and it waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import replace

from pillarbox.lib.clients.bounce import BounceClient
from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.delivery import Content
from pillarbox.lib.log import log
from pillarbox.lib.message.trace import received_local
from pillarbox.lib.queue import QueueFile, is_queue_id
from pillarbox.lib.queue.file import MAGIC


class Busy(Exception):
    """An agent still works on the message."""


def is_requeued(name: str, descriptor: int) -> bool:
    """Whether an open file in maildrop/ is a queue file that the suite itself has put there.  Raises OSError."""
    return (
        is_queue_id(name)
        and os.fstat(descriptor).st_uid == os.geteuid()
        and os.pread(descriptor, len(MAGIC), 0) == MAGIC
    )


def requeue(old_id: str, descriptor: int, cleanup: CleanupClient, bounce: BounceClient, host: str) -> bool | None:
    """Hand the message to cleanup.  False where no recipient is left: the caller removes the file as after True; None
    where it is gone already.

    Raises Busy, CorruptQueueFile, Rejected, EOFError (the file has become shorter), ServiceUnavailable.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(old_id) from None
    if not os.fstat(descriptor).st_nlink:
        return None  # the queue manager came to the end of it before the lock
    file = QueueFile(descriptor)
    recipients = tuple(stored.recipient for stored in file.recipients() if not stored.done)
    if not recipients:
        return False
    attributes = {**file.envelope.attributes, "requeued": old_id}
    envelope = replace(file.envelope, recipients=recipients, hold="", redirect="", attributes=attributes)
    uid = os.fstat(descriptor).st_uid
    message = cleanup.open()
    try:
        log.info(f"{message.queue_id}: uid={uid} from=<{envelope.sender}> orig_id={old_id}")
        message.begin(envelope)
        message.write(received_local(host=host, queue_id=message.queue_id, uid=uid, when=envelope.arrival))
        for chunk in Content(descriptor, file.offset, file.length).chunks():
            message.write(chunk)
        message.commit()
    finally:
        message.abort()
    with contextlib.suppress(ServiceUnavailable):
        bounce.forget(old_id)  # why it waited under its old name
    return True
