"""What a transaction has in place of a message in cleanup when its content goes through a filter before the queue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.clients.cleanup import PIECE
from pillarbox.lib.log import log
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.queue.envelope import Envelope
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_content import ContentEncoder
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.filter_connection import FilterFailed

if TYPE_CHECKING:
    from pillarbox.smtpd.proxy_filter import FilterSession
    from pillarbox.smtpd.transaction import Transaction

NO_QUEUE: Final = "NOQUEUE"
GATHER: Final = 64 * 1024
"""Content that is gathered before it is sent."""

UNAVAILABLE: Final = replies.WRITE_ERROR
"""What the client is told when the filter fails: 451 4.3.0, the text is Postfix's."""


class FilteredMessage:
    """What a transaction has in place of a message in cleanup; `finish` stands for `commit`."""

    queue_id = NO_QUEUE

    def __init__(self, session: FilterSession) -> None:
        self._session = session
        self._encoder = ContentEncoder(0)
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._discarded = False
        self._failed = False

    def begin(self, envelope: Envelope, *, examine: bool = False) -> None:
        """The envelope went to the filter already, command by command."""
        self._discarded = envelope.discard

    def gather(self, content: bytes) -> bool:
        """Take content; whether it is time to send."""
        if self._discarded or self._failed:
            return False
        encoded = self._encoder.encode(content)
        self._pieces.append(encoded)
        self._gathered += len(encoded) + PIECE
        return self._gathered >= GATHER

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._gathered = 0
        return data

    async def flush(self) -> None:
        """Send what was gathered.  The rest of a message that cannot be sent is read and dropped."""
        try:
            await self._session.send(self._take())
        except FilterFailed as error:
            self._failed = True
            self._session.failed(error)

    async def finish(self, transaction: Transaction) -> Reply:
        """The client has ended the message: the answer."""
        if self._discarded:
            return replies.queued(NO_QUEUE)
        if self._failed:
            return UNAVAILABLE
        return await self._session.finish(self._take() + self._encoder.finish())

    async def commit(self, edits: Edits | None = None) -> Any:
        raise NotImplementedError("a filtered message has no receipt")

    def abort(self) -> None:
        """Withdraw the message."""
        self._session.withdraw()


class BufferedMessage(FilteredMessage):
    """speed_adjust: the content waits in a file in memory until it is complete (this process can make no other)."""

    def __init__(self, session: FilterSession) -> None:
        super().__init__(session)
        self._file = os.memfd_create("message", os.MFD_CLOEXEC)
        self._length = 0

    def gather(self, content: bytes) -> bool:
        if not self._discarded and self._file >= 0:
            self._length += len(content)
            view = memoryview(content)
            try:
                while view:
                    view = view[os.write(self._file, view) :]
            except OSError as error:  # the rest is read and dropped
                log.warning(f"proxy: no memory for the message: {error.strerror}")
                self._failed = True
                self._close()
        return False

    async def finish(self, transaction: Transaction) -> Reply:
        if self._discarded:
            self.abort()
            return replies.queued(NO_QUEUE)
        if self._failed:
            return UNAVAILABLE
        try:
            return await self._session.deliver_whole(transaction, self._file, self._length)
        finally:
            self._close()

    def abort(self) -> None:
        self._close()
        super().abort()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
