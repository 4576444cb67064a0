"""Whether there is room for a message: asked at MAIL, as a check (queue_minfree and message_size_limit in postconf(5)).

Only the file system is asked, not the queue: this process can reach no file.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from pillarbox.lib.config.parameters.general import MESSAGE_SIZE_LIMIT, QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.smtpd_content import QUEUE_MINFREE
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

LIFETIME: Final = 1.0
"""Seconds for which an answer of the file system is believed."""

MARGIN: Final = 1.5
"""Times message_size_limit that must be free: one message never fills the disk to the last byte."""


def checks(server: Server) -> Checks:
    """Every service has it."""
    return {"MAIL": (Room(server),)}


class Room:
    """Remembers for a moment how much is free, so that a busy server does not ask for each message."""

    def __init__(self, server: Server) -> None:
        config = server.config
        self._directory = config[QUEUE_DIRECTORY]
        limit = config[MESSAGE_SIZE_LIMIT]
        self._needed = (
            (config[QUEUE_MINFREE], "minimum"),
            (int(MARGIN * limit), f"{MARGIN}*message_size_limit"),
        )
        self._until = -1.0
        self._problem = ""

    def __call__(self, session: Session, event: Mail) -> Reply | None:
        now = asyncio.get_running_loop().time()
        if now >= self._until:
            self._until = now + LIFETIME
            self._problem = self._look()
        if not self._problem:
            return None
        log.warning(f"not enough free space in mail queue: {self._problem}")
        return replies.INSUFFICIENT_STORAGE

    def _look(self) -> str:
        try:
            status = os.statvfs(self._directory)
        except OSError:
            return ""  # cleanup will say what is wrong
        free = status.f_bavail * status.f_frsize
        for bound, name in self._needed:
            if free < bound:
                return f"{free} bytes < {name} {bound}"
        return ""
