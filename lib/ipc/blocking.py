"""Frames over a blocking UNIX socket, for programs that do one thing at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence

from pillarbox.lib.ipc.frames import (
    ABORT_CONTENT,
    END_OF_CONTENT,
    Attributes,
    ChannelClosed,
    FrameReader,
    ProtocolError,
    encode_chunk,
    encode_frame,
)

READ_SIZE = 32 * 1024
MAX_FDS = 16
"""Most descriptors taken from one frame; those beyond it are closed by the kernel."""

UNCLAIMED_LIMIT = 256
"""Most descriptors that wait for the frames that name them: more than any program has requests under way."""

_CREDENTIALS = struct.Struct("3i")
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_FDS * 4)


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel recorded it when the connection was made."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])


def receive_with_descriptors(sock: socket.socket, flags: int, found: list[int]) -> bytes:
    """Read what has arrived; descriptors that came with it are added to `found`.  Raises OSError."""
    data, ancillary, _, _ = sock.recvmsg(READ_SIZE, _ANCILLARY_SIZE, flags | socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            count = len(payload) // 4
            found += struct.unpack(f"{count}i", payload[: count * 4])
    return data


class Channel:
    """One connection.  Every method raises ChannelClosed where the peer is gone or a time limit has passed."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._reader = FrameReader()
        self._fds: list[int] = []
        self.takes_descriptors = True
        """Where False, the kernel closes descriptors that a peer sends: a server that wants none keeps none."""
        self.in_request = False
        """Set by a server that holds a half-finished request of this connection: stopping waits for its end."""

    @classmethod
    def connect(cls, path: str, timeout: float | None = None) -> Channel:
        """Connect to a service's socket; `timeout` in seconds holds for every later operation too."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
        except OSError as error:
            sock.close()
            raise ChannelClosed(f"connect to {path}: {error.strerror or error}") from None
        return cls(sock)

    @property
    def peer_uid(self) -> int:
        """The user id of the peer."""
        return peer_uid(self.socket)

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def pending(self) -> bool:
        """Whether bytes have arrived that no frame or chunk has taken yet."""
        return self._reader.pending > 0

    def send(self, members: Mapping[str, object], fds: Sequence[int] = (), content: bytes = b"") -> None:
        """Send a frame, its descriptors, and `content` (already in chunks) behind it, in one system call if it fits."""
        data = encode_frame({**members, "fds": len(fds)} if fds else members) + content
        try:
            if fds:
                sent = socket.send_fds(self.socket, [data], list(fds))
                data = data[sent:]
            if data:
                self.socket.sendall(data)
        except OSError as error:
            raise ChannelClosed(f"send: {error.strerror or error}") from None

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are frames or chunks already."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ChannelClosed(f"send: {error.strerror or error}") from None

    def send_chunk(self, content: bytes) -> None:
        """Send a piece of content."""
        self.send_raw(encode_chunk(content))

    def end_chunks(self) -> None:
        """Say that the content is complete."""
        self.send_raw(END_OF_CONTENT)

    def abort_chunks(self) -> None:
        """Withdraw the content."""
        self.send_raw(ABORT_CONTENT)

    def fill(self, flags: int = 0) -> bool:
        """Read once what has arrived.  False where nothing had (only with MSG_DONTWAIT)."""
        try:
            if self.takes_descriptors:
                data = receive_with_descriptors(self.socket, flags, self._fds)
            else:
                data = self.socket.recv(READ_SIZE, flags)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ChannelClosed(f"receive: {error.strerror or error}") from None
        if len(self._fds) > UNCLAIMED_LIMIT:
            raise ChannelClosed("the peer sends descriptors that it does not name")
        if not data:
            raise ChannelClosed("the peer closed the connection")
        self._reader.feed(data)
        return True

    def next_frame(self) -> Attributes | None:
        """A frame that has arrived completely, or None.

        A frame that names a number of descriptors under `fds` takes them off the queue of those received.
        """
        frame = self._reader.frame()
        if frame is not None and self._fds:
            count = frame.integer("fds", 0)
            if not 0 <= count <= len(self._fds):
                raise ProtocolError("fewer descriptors came than the frame says")
            frame.fds, self._fds = self._fds[:count], self._fds[count:]
        return frame

    def next_chunk(self) -> bytes | None:
        """A chunk that has arrived completely, b"" at the end of the content, or None.  Raises ContentAborted."""
        return self._reader.chunk()

    def receive(self, timeout: float | None = None) -> Attributes:
        """Wait for a frame; `timeout` in seconds, None for as long as the socket's own limit."""
        if timeout is not None:
            self.socket.settimeout(timeout)
        while (frame := self.next_frame()) is None:
            self.fill()
        return frame

    def call(self, members: Mapping[str, object], fds: Sequence[int] = ()) -> Attributes:
        """Send a request and wait for its reply."""
        self.send(members, fds)
        return self.receive()

    def read_chunk(self) -> bytes:
        """Wait for a piece of content; b"" at its end.  Raises ContentAborted where the sender withdrew it."""
        while (chunk := self._reader.chunk()) is None:
            self.fill()
        return chunk

    def close(self) -> None:
        """End the connection; descriptors that were received and not taken are closed."""
        for descriptor in self._fds:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._fds = []
        self.socket.close()


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
