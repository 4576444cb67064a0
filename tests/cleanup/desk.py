"""cleanup's intake, driven round by round, over real sockets and a real directory."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pillarbox.cleanup.intake import Intake, _Connection
from pillarbox.lib.clients.cleanup import envelope_frames
from pillarbox.lib.config import Config
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ContentAborted, ProtocolError, encode_chunk
from pillarbox.lib.ipc.frames import END_OF_CONTENT
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Queue, QueueFile, Recipient, encode_id

all_parameters()


class Client:
    """The client's end of one connection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.channel = Channel(ours)
        self.channel.socket.settimeout(10)
        desk.accept(theirs)
        self.inode = self.channel.receive().integer("prepared")

    def new_id(self) -> str:
        return encode_id(time.time_ns() // 1000, self.inode)

    def send(
        self, content: bytes, queue_id: str = "", *, recipients: tuple[str, ...] = ("b@y.test",), **envelope: Any
    ) -> str:
        """A whole message in one piece, without waiting for the answer; its id."""
        queue_id = queue_id or self.new_id()
        values = {"sender": "a@x.test", "arrival": time.time(), "origin": "smtpd", **envelope}
        value = Envelope(recipients=tuple(Recipient(one) for one in recipients), **values)
        self.channel.send_raw(envelope_frames(queue_id, value) + encode_chunk(content) + END_OF_CONTENT)
        return queue_id

    def answer(self) -> Attributes:
        """The answer to a message."""
        self._desk.turn()
        reply = self.channel.receive()
        self.inode = reply.integer("prepared", 0)
        return reply

    def deliver(self, content: bytes, **more: Any) -> Attributes:
        """Send a message; the answer."""
        self.send(content, **more)
        return self.answer()

    @property
    def ended(self) -> bool:
        """Whether cleanup has closed the connection."""
        self._desk.turn()
        try:
            return not self.channel.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


class Desk:
    """One cleanup process without the process."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.spool = root / "spool"
        Queue(str(self.spool)).create()
        usual = {"queue_directory": str(self.spool), "myhostname": "mx.test", "myorigin": "test"}
        self.config = Config.for_tests(**(usual | settings))
        self.intake = Intake(self.config)
        self.lines: list[str] = []
        self._connections: dict[Channel, _Connection] = {}

    def client(self) -> Client:
        return Client(self)

    def accept(self, connection: socket.socket) -> None:
        channel = Channel(connection)
        channel.takes_descriptors = False
        self._connections[channel] = self.intake.opened(channel)

    def turn(self) -> None:
        """One round: take in all that has arrived, then commit."""
        for channel, connection in list(self._connections.items()):
            try:
                while channel.fill(socket.MSG_DONTWAIT):
                    self.intake.arrived(channel, connection)
            except (ChannelClosed, ContentAborted):
                self._close(channel)
            except ProtocolError as error:
                log.warning(f"cleanup: protocol error: {error}")
                self._close(channel)
        self.intake.round_ended()

    def _close(self, channel: Channel) -> None:
        self.intake.closed(channel, self._connections.pop(channel))
        channel.close()

    def close(self) -> None:
        for channel in list(self._connections):
            self._close(channel)
        self.intake.stopping()
        for directory in (self.intake._directory, self.intake._hold_directory):
            os.close(directory)

    # --- what is on disk
    def ids(self) -> list[str]:
        return sorted(name for name in os.listdir(self.spool / "incoming") if not name.startswith("."))

    def unfinished(self) -> list[str]:
        return [name for name in os.listdir(self.spool / "incoming") if name.startswith(".")]

    def read(self, queue_id: str) -> tuple[Envelope, list[str], bytes]:
        """Envelope, addresses and content of a message."""
        file = QueueFile(os.open(self.spool / "incoming" / queue_id, os.O_RDONLY))
        try:
            content = os.pread(file.descriptor, file.length + 1, file.offset)
            return file.envelope, [one.recipient.address for one in file.recipients()], content
        finally:
            file.close()

    def recipients(self, queue_id: str) -> list[Recipient]:
        """The recipients of a message."""
        file = QueueFile(os.open(self.spool / "incoming" / queue_id, os.O_RDONLY))
        try:
            return [one.recipient for one in file.recipients()]
        finally:
            file.close()

    def content(self, queue_id: str) -> bytes:
        return self.read(queue_id)[2]


@contextlib.contextmanager
def desk(root: Path, **settings: str) -> Iterator[Desk]:
    """A desk, closed at the end; what it logs is in `lines`."""
    with log.capture() as lines:
        made = Desk(root, **settings)
        made.lines = lines
        try:
            yield made
        finally:
            made.close()
