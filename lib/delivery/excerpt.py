"""What a process with a user's rights gets of a message: a copy of its content, and nothing of the queue file.

Who has a queue file open may claim that any of its recipients is done (`lib.queue.claims`), lets go of the message's
lock for all who share the descriptor, and reads who else gets the message.  So a child gets a file of its own, which
belongs to nobody and has no name; claims are made by its parent, for results that it has checked.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from dataclasses import replace
from typing import Final

from pillarbox.lib.delivery.content import Content
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.store.failure import DeliveryFailure

SMALL: Final = 1 << 20
"""Octets of a message whose copy is in memory; that of a larger one is a file without a name."""
_STEP: Final = 1 << 20
"""Octets that are copied before others have their turn."""
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


async def excerpt(request: DeliveryRequest, directory: str) -> DeliveryRequest:
    """The request with a copy of its content, which is to be closed; large ones lie in `directory`.

    Raises DeliveryFailure.
    """
    try:
        return replace(request, content=await _copy(request.content, directory))
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise DeliveryFailure("4.3.0", f"cannot copy the message: {why}") from error


async def _copy(content: Content, directory: str) -> Content:
    """Raises OSError, EOFError."""
    small = content.size <= SMALL
    if small:
        fd = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            fd = os.dup(file.fileno())
    try:
        done = 0
        while done < content.size:
            count = os.sendfile(fd, content.fd, content.offset + done, min(_STEP, content.size - done))
            if not count:
                raise EOFError("the queue file is shorter than its envelope says")
            done += count
            if done < content.size:
                await asyncio.sleep(0)
        if small:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        else:
            written, fd = fd, os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.close(written)
    except BaseException:
        os.close(fd)
        raise
    return Content(fd, 0, content.size)
