"""Clients of the queue manager.

`QmgrNotifier` tells that messages have arrived.  The notice is a courtesy, not a hand-over: the file in incoming/ is
what counts, and the queue manager looks there by itself too.  So a notice that can't be delivered is dropped.
`QmgrClient` carries the administrator's requests, `AsyncQmgrClient` those of mail servers that fetch their mail.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError, encode_frame

ANSWER_TIMEOUT = 30.0
"""Seconds that a command waits for the queue manager."""


class QmgrNotifier:
    """Tells the queue manager about new messages; never waits, never fails."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path("qmgr")
        self._socket: socket.socket | None = None

    def arrived(self, queue_ids: Sequence[str]) -> None:
        """Messages are in incoming/."""
        data = encode_frame({"do": "arrived", "ids": list(queue_ids)})
        for _ in range(2):  # the second time over a fresh connection
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                    self._socket.connect(self._path)
                if self._socket.send(data, socket.MSG_NOSIGNAL) == len(data):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
            self.close()

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class QmgrClient:
    """Requests that are answered."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path("qmgr")

    def flush(self, queue_id: str = "", site: str = "") -> int | None:
        """Try again at once: one message, the messages to one domain, or all deferred ones; how many were found.

        None where fast_flush_domains does not list the domain.
        """
        return _count(self._call({"do": "flush", "id": queue_id, "site": site}))

    def changed(self, queue_ids: Sequence[str]) -> None:
        """The administrator has moved or removed these messages behind the queue manager's back."""
        self._call({"do": "changed", "ids": list(queue_ids)})

    def _call(self, members: dict[str, object]) -> Attributes:
        try:
            channel = Channel.connect(self._path, ANSWER_TIMEOUT)
            try:
                reply = channel.call(members)
            finally:
                channel.close()
        except (ChannelClosed, ProtocolError) as error:
            raise ServiceUnavailable(f"qmgr: {error}") from None
        return _checked(reply)


class AsyncQmgrClient:
    """For event programs; a connection for each request, as these are rare."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path("qmgr")

    async def flush_site(self, domain: str) -> int | None:
        """Try again at once what waits for recipients in `domain`, for ETRN (RFC 1985); how many messages were found.

        None where fast_flush_domains does not list the domain.  Raises ServiceUnavailable.
        """
        try:
            channel = await AsyncChannel.connect(self._path, ANSWER_TIMEOUT)
            try:
                await channel.send({"do": "flush", "site": domain})
                return _count(_checked(await channel.receive(ANSWER_TIMEOUT)))
            finally:
                channel.close()
        except (ChannelClosed, ProtocolError) as error:
            raise ServiceUnavailable(f"qmgr: {error}") from None


def _checked(reply: Attributes) -> Attributes:
    if not reply.boolean("ok"):
        raise ServiceUnavailable(f"qmgr: {reply.text('why', 'refused')}")
    return reply


def _count(reply: Attributes) -> int | None:
    return None if reply.boolean("denied", False) else reply.integer("count", 0)
