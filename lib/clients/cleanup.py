"""Clients of `cleanup`, the one writer of new mail.

A connection to cleanup always holds one prepared, empty queue file, of which the client knows the inode: so a new
message has its queue id from the first moment, and the whole message can go over in one send.

    with client.open() as message:              # queue_id is known here; nothing has been sent
        message.begin(envelope)
        message.write(b"Received: ...\\n")
        receipt = message.commit()              # on disk, under its final name; or Rejected, ServiceUnavailable

The content's lines end in LF.  The caller writes its own Received: field first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import IPC_TIMEOUT
from pillarbox.lib.ipc import (
    AsyncChannel,
    Attributes,
    Channel,
    ChannelClosed,
    ProtocolError,
    close_all,
    encode_chunk,
    encode_frame,
)
from pillarbox.lib.ipc.frames import END_OF_CONTENT
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.queue.ids import encode_id

RECIPIENTS_PER_FRAME = 50
"""With addresses of the greatest length, each escaped, a frame of so many stays below the frame limit."""

GATHER = 32 * 1024
"""Content is sent in pieces of about this size; a smaller message goes in one send, together with its envelope."""

PIECE = 64
"""Bytes that a piece of content takes beside its own, as long as it waits: a client that sends octet by octet must not
fill memory, nor have cleanup take them one by one."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection and its first prepared file."""

IDLE_LIMIT = 64
"""Most idle connections that an event program keeps."""


class Rejected(Exception):
    """cleanup does not take the message; `code`, `enhanced` and `text` are the SMTP reply to give."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(f"{code} {enhanced} {text}")
        self.code, self.enhanced, self.text = code, enhanced, text


@dataclass(frozen=True, slots=True)
class Receipt:
    """The message is in the queue: complete, on disk.  `size` is the content's, in bytes."""

    queue_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Examined:
    """The complete content of a message that is not published yet: `length` bytes from `offset` of the file behind
    `descriptor`, the first `header` of which are the header block."""

    descriptor: int
    offset: int
    length: int
    header: int

    def close(self) -> None:
        """Close the descriptor; it is the receiver's."""
        close_all((self.descriptor,))


def envelope_frames(queue_id: str, envelope: Envelope, *, examine: bool = False, more: bool = False) -> bytes:
    """The frames that open a message: the envelope and its recipients, all of them unless there are `more`."""
    first, rest = envelope.recipients[:RECIPIENTS_PER_FRAME], envelope.recipients[RECIPIENTS_PER_FRAME:]
    opening: dict[str, object] = {
        "do": "message",
        "id": queue_id,
        "envelope": envelope.members(),
        "recipients": [recipient.members() for recipient in first],
        "more": more or bool(rest),
    }
    if examine:
        opening["examine"] = True
    frames = encode_frame(opening)
    return frames + recipient_frames(rest, more) if rest else frames


def recipient_frames(recipients: Sequence[Recipient], more: bool) -> bytes:
    """The frames that carry further recipients, at least one; `more`: the last of them is not the end."""
    frames = []
    for start in range(0, len(recipients) or 1, RECIPIENTS_PER_FRAME):
        part = [recipient.members() for recipient in recipients[start : start + RECIPIENTS_PER_FRAME]]
        last = start + len(part) >= len(recipients)
        frames.append(encode_frame({"do": "recipients", "recipients": part, "more": more or not last}))
    return b"".join(frames)


class _Outgoing:
    """What both kinds of message share: gathering the bytes that have not been sent."""

    def __init__(self, inode: int, clock: Callable[[], float]) -> None:
        self.queue_id = encode_id(int(clock() * 1_000_000), inode)
        self._pieces: list[bytes] = []
        self._content: list[bytes] = []
        self._gathered = 0
        self._begun = False
        self._refusal: Rejected | None = None
        self._examine = False
        self._ended = False
        self._early: Attributes | None = None
        self.sent = False

    @property
    def examinable(self) -> bool:
        """Whether the message was begun so that it can be looked at."""
        return self._examine

    def _begin(self, envelope: Envelope, examine: bool, more: bool = False) -> None:
        self._begun = True
        self._examine = examine
        try:
            frames = envelope_frames(self.queue_id, envelope, examine=examine, more=more)
        except ProtocolError:
            self._refusal = Rejected(554, "5.6.0", "Error: the envelope is too large")
            return
        self._pieces.append(frames)

    def _gather(self, content: bytes) -> bool:
        """Take content; whether it is time to send."""
        if self._refusal is not None:
            return False
        self._content.append(content)
        self._gathered += len(content) + PIECE
        return self._gathered >= GATHER

    def _examined(self, reply: Attributes) -> Examined | None:
        """What cleanup says at the end of content that is to be examined: the content, or its decision already."""
        self._ended = True
        if "examine" not in reply:
            self._early = reply
            return None
        if len(reply.fds) != 1:
            close_all(reply.fds)
            raise ProtocolError("one descriptor was expected")
        return Examined(reply.fds[0], reply.integer("offset"), reply.integer("length"), reply.integer("examine"))

    def _end_content(self) -> None:
        self._pieces += (encode_chunk(b"".join(self._content)), END_OF_CONTENT)
        self._content.clear()

    def _take(self) -> bytes:
        if self._content:
            self._pieces.append(encode_chunk(b"".join(self._content)))
            self._content.clear()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._gathered = 0
        self.sent = True
        return data


def _prepared(reply: Attributes) -> int:
    inode = reply.integer("prepared", 0)
    if not inode:
        raise ServiceUnavailable(f"cleanup: {reply.text('why', 'no queue file could be made')}")
    return inode


def _next_inode(reply: Attributes) -> int:
    inode = reply.get("prepared", 0)
    return inode if type(inode) is int else 0


def _receipt(reply: Attributes, queue_id: str) -> Receipt:
    if reply.boolean("ok"):
        return Receipt(queue_id, reply.integer("size"))
    raise Rejected(reply.integer("code"), reply.text("enhanced"), reply.text("text"))


class Message(_Outgoing):
    """One new message over a blocking connection.  Leaving the `with` block without a commit withdraws it."""

    def __init__(self, client: CleanupClient, channel: Channel, inode: int, clock: Callable[[], float]) -> None:
        super().__init__(inode, clock)
        self._client = client
        self._channel: Channel | None = channel
        self._inode = inode

    def begin(self, envelope: Envelope, *, examine: bool = False, more: bool = False) -> None:
        """Give the envelope; once, before the content.  One that is too large is refused by `commit`.

        With `examine` the content can be looked at by `examine`, before `commit`.  With `more` further recipients
        follow by `recipients`.
        """
        self._begin(envelope, examine, more)

    def recipients(self, recipients: Sequence[Recipient], *, more: bool) -> None:
        """Give further recipients; `more`: they are not the last.  Raises ServiceUnavailable."""
        if self._refusal is None:
            self._pieces.append(recipient_frames(recipients, more))
            self._send(self._take())

    def write(self, content: bytes) -> None:
        """Give a piece of the content.  Raises ServiceUnavailable."""
        if self._gather(content):
            self._send(self._take())

    def examine(self) -> Examined | None:
        """End the content; all of it, for others to look at, or None where it is refused, or nobody needs to look.

        `commit` is still to be called.  Raises ServiceUnavailable.
        """
        assert self._begun
        if self._refusal is not None or not self._examine:
            return None
        self._end_content()
        self._send(self._take())
        assert self._channel is not None
        try:
            return self._examined(self._channel.receive())
        except (ChannelClosed, ProtocolError) as error:
            self._drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    def commit(self, edits: Edits | None = None) -> Receipt:
        """End the content and wait until the message is safe.  Raises Rejected, ServiceUnavailable.

        `edits` are made before, to a message that was examined; their files are closed.
        """
        try:
            return self._commit(edits or Edits())
        finally:
            if edits is not None:
                edits.close()

    def _commit(self, edits: Edits) -> Receipt:
        assert self._begun
        if self._refusal is not None:
            self.abort()
            raise self._refusal
        if self._examine and not self._ended and (examined := self.examine()) is not None:
            examined.close()
        if not self._ended:
            self._end_content()
            self._send(self._take())
        channel, reply = self._channel, self._early
        if channel is None:
            raise ServiceUnavailable("cleanup: the connection is gone")
        try:
            if reply is None:
                if self._ended:
                    channel.send({"do": "commit", "edits": edits.members()}, edits.descriptors)
                reply = channel.receive()
            receipt = _receipt(reply, self.queue_id)
            self._give_back(reply)
            return receipt
        except Rejected:
            assert reply is not None
            self._give_back(reply)
            raise
        except (ChannelClosed, ProtocolError) as error:
            self._drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    def abort(self) -> None:
        """Withdraw the message; nothing of it remains."""
        if self._channel is None:
            return
        if self.sent:
            self._drop()
        else:
            self._give_back(Attributes({"prepared": self._inode}))

    def _give_back(self, reply: Attributes) -> None:
        assert self._channel is not None
        channel, self._channel = self._channel, None
        self._client.give_back(channel, reply)

    def _send(self, data: bytes) -> None:
        if self._channel is None:
            raise ServiceUnavailable("cleanup: the connection is gone")
        try:
            self._channel.send_raw(data)
        except ChannelClosed as error:
            self._drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class CleanupClient:
    """A blocking client; keeps its connection from one message to the next."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.time,
        service: str = "cleanup",
        connect: Callable[[str, float], Channel] = Channel.connect,
    ) -> None:
        """`connect` makes a connection to a path within some seconds, for who may not do that itself; it raises
        ChannelClosed."""
        self._path = config.socket_path(service)
        self._connect = connect
        self._timeout = config[IPC_TIMEOUT]
        self._clock = clock
        self._idle: list[tuple[Channel, int]] = []

    def open(self) -> Message:
        """A new message.  Raises ServiceUnavailable."""
        while self._idle:
            channel, inode = self._idle.pop()
            if _alive(channel):
                return Message(self, channel, inode, self._clock)
            channel.close()
        try:
            channel = self._connect(self._path, CONNECT_TIMEOUT)
        except ChannelClosed as error:
            raise ServiceUnavailable(f"cleanup: {error}") from None
        try:
            inode = _prepared(channel.receive())
            channel.socket.settimeout(self._timeout)
        except (ChannelClosed, ProtocolError) as error:
            channel.close()
            raise ServiceUnavailable(f"cleanup: {error}") from None
        except ServiceUnavailable:
            channel.close()
            raise
        return Message(self, channel, inode, self._clock)

    def give_back(self, channel: Channel, reply: Attributes) -> None:
        """For `Message`: the connection is free again, with its next prepared file."""
        inode = _next_inode(reply)
        if inode:
            self._idle.append((channel, inode))
        else:
            channel.close()

    def close(self) -> None:
        """End the connections."""
        for channel, _ in self._idle:
            channel.close()
        self._idle.clear()


def _alive(channel: Channel) -> bool:
    # On a socket with a timeout Python waits for readability before the call, whatever MSG_DONTWAIT says.
    timeout = channel.socket.gettimeout()
    channel.socket.setblocking(False)
    try:
        return not channel.fill()
    except ChannelClosed:
        return False
    finally:
        channel.socket.settimeout(timeout)


class AsyncMessage(_Outgoing):
    """One new message in an event program."""

    def __init__(
        self, client: AsyncCleanupClient, channel: AsyncChannel, inode: int, clock: Callable[[], float]
    ) -> None:
        super().__init__(inode, clock)
        self._client = client
        self._channel: AsyncChannel | None = channel
        self._inode = inode

    def begin(self, envelope: Envelope, *, examine: bool = False) -> None:
        """Give the envelope; once, before the content.  Sends nothing; `commit` refuses one that is too large.

        With `examine` the content can be looked at by `examine`, before `commit`.
        """
        if self._channel is not None:
            self._channel.takes_descriptors = examine  # a plain read is cheaper, and most messages need no more
        self._begin(envelope, examine)

    def gather(self, content: bytes) -> bool:
        """Give a piece of the content without sending; True when `flush` should be awaited before more is given."""
        return self._gather(content)

    async def flush(self) -> None:
        """Send what was gathered.  Raises ServiceUnavailable."""
        await self._send(self._take())

    async def write(self, content: bytes) -> None:
        """Give a piece of the content.  Raises ServiceUnavailable."""
        if self._gather(content):
            await self._send(self._take())

    async def examine(self) -> Examined | None:
        """End the content; all of it, for others to look at, or None where it is refused, or nobody needs to look.

        `commit` is still to be called.  Raises ServiceUnavailable.
        """
        assert self._begun
        if self._refusal is not None or not self._examine:
            return None
        self._end_content()
        await self._send(self._take())
        assert self._channel is not None
        try:
            return self._examined(await self._channel.receive())
        except (ChannelClosed, ProtocolError) as error:
            self.drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    async def commit(self, edits: Edits | None = None) -> Receipt:
        """End the content and wait until the message is safe.  Raises Rejected, ServiceUnavailable.

        `edits` are made before, to a message that was examined; their files are closed.
        """
        try:
            return await self._commit(edits or Edits())
        finally:
            if edits is not None:
                edits.close()

    async def _commit(self, edits: Edits) -> Receipt:
        assert self._begun
        if self._refusal is not None:
            self.abort()
            raise self._refusal
        if self._examine and not self._ended and (examined := await self.examine()) is not None:
            examined.close()
        if not self._ended:
            self._end_content()
            await self._send(self._take())
        channel, reply = self._channel, self._early
        if channel is None:
            raise ServiceUnavailable("cleanup: the connection is gone")
        try:
            if reply is None:
                if self._ended:
                    await channel.send({"do": "commit", "edits": edits.members()}, edits.descriptors)
                reply = await channel.receive()
            receipt = _receipt(reply, self.queue_id)
            self._give_back(reply)
            return receipt
        except Rejected:
            assert reply is not None
            self._give_back(reply)
            raise
        except (ChannelClosed, ProtocolError) as error:
            self.drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    def abort(self) -> None:
        """Withdraw the message; nothing of it remains."""
        if self._channel is None:
            return
        if self.sent:
            self.drop()
        else:
            self._give_back(Attributes({"prepared": self._inode}))

    def _give_back(self, reply: Attributes) -> None:
        assert self._channel is not None
        channel, self._channel = self._channel, None
        self._client.give_back(channel, reply)

    async def _send(self, data: bytes) -> None:
        if self._channel is None:
            raise ServiceUnavailable("cleanup: the connection is gone")
        try:
            await self._channel.send_raw(data)
        except ChannelClosed as error:
            self.drop()
            raise ServiceUnavailable(f"cleanup: {error}") from None

    def drop(self) -> None:
        """Close the connection: cleanup throws away what it has of the message."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class AsyncCleanupClient:
    """A client for event programs: a pool of connections, one message at a time on each."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._path = config.socket_path("cleanup")
        self._clock = clock
        self._idle: list[tuple[AsyncChannel, int]] = []

    def open_now(self) -> AsyncMessage | None:
        """A new message over an idle connection, or None where a connection must be made first: await `open`."""
        while self._idle:
            channel, inode = self._idle.pop()
            if channel.alive:
                return AsyncMessage(self, channel, inode, self._clock)
            channel.close()
        return None

    async def open(self) -> AsyncMessage:
        """A new message.  Raises ServiceUnavailable."""
        if (message := self.open_now()) is not None:
            return message
        try:
            channel = await AsyncChannel.connect(self._path, CONNECT_TIMEOUT)
        except ChannelClosed as error:
            raise ServiceUnavailable(f"cleanup: {error}") from None
        channel.takes_descriptors = False
        try:
            inode = _prepared(await channel.receive(CONNECT_TIMEOUT))
        except (ChannelClosed, ProtocolError) as error:
            channel.close()
            raise ServiceUnavailable(f"cleanup: {error}") from None
        except BaseException:
            channel.close()  # cleanup has no file for us, or our task was cancelled
            raise
        return AsyncMessage(self, channel, inode, self._clock)

    def give_back(self, channel: AsyncChannel, reply: Attributes) -> None:
        """For `AsyncMessage`: the connection is free again, with its next prepared file."""
        inode = _next_inode(reply)
        if inode and len(self._idle) < IDLE_LIMIT:
            self._idle.append((channel, inode))
        else:
            channel.close()

    def close(self) -> None:
        """End the idle connections."""
        for channel, _ in self._idle:
            channel.close()
        self._idle.clear()


__all__ = [
    "AsyncCleanupClient",
    "AsyncMessage",
    "CleanupClient",
    "Examined",
    "Message",
    "Receipt",
    "Rejected",
    "envelope_frames",
]
