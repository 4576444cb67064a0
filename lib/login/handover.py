"""The hand-over of a client from the login part to the session part: both ends of one short exchange.

    login part:   {"do": "session", "token", "username", "method", "client_address", ..., "pending"} + descriptor
    session part: {"ok": true}      and the client is the session's
                  {"ok": false, "why": TEXT, "temporary": BOOL}, and the login part answers the client

Without a descriptor (TLS) the UNIX connection itself becomes the client's stream right after the reply.
`pending` is what the client sent behind its login command; `extra` is the protocol's own (the tag of IMAP's login).
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.lib.clients.auth import Account, AsyncAuthClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.ipc import (
    AsyncChannel,
    Attributes,
    ChannelClosed,
    FrameReader,
    ProtocolError,
    close_all,
    encode_frame,
)
from pillarbox.lib.log import log
from pillarbox.lib.login.connection import ClientConnection

REQUEST_TIMEOUT = 10.0
"""Seconds in which a login part that has connected must have said what it wants."""


class HandOverFailed(Exception):
    """The session part could not take the client over; the text is for the client and the log."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What the login part says about a client."""

    token: str
    username: str
    method: str
    client_address: str
    local_address: str
    encrypted: bool
    tls_text: str = ""
    pending: bytes = b""
    extra: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> dict[str, object]:
        """The members of the frame."""
        return {
            "do": "session",
            "token": self.token,
            "username": self.username,
            "method": self.method,
            "client_address": self.client_address,
            "local_address": self.local_address,
            "encrypted": self.encrypted,
            "tls_text": self.tls_text,
            "pending": base64.b64encode(self.pending).decode("ascii"),
            "extra": dict(self.extra),
        }

    @classmethod
    def decode(cls, frame: Attributes) -> SessionRequest:
        """Read the frame; raises ProtocolError."""
        if frame.text("do") != "session":
            raise ProtocolError(f'unknown request "{frame.text("do")}"')
        extra = frame.attributes("extra")
        try:
            pending = base64.b64decode(frame.text("pending"), validate=True)
        except ValueError:
            raise ProtocolError('attribute "pending" is no base64') from None
        return cls(
            token=frame.text("token"),
            username=frame.text("username"),
            method=frame.text("method"),
            client_address=frame.text("client_address"),
            local_address=frame.text("local_address"),
            encrypted=frame.boolean("encrypted"),
            tls_text=frame.text("tls_text"),
            pending=pending,
            extra={name: extra.text(name) for name in extra},
        )


@dataclass(frozen=True, slots=True)
class SessionStart:
    """A client that the session part has taken over."""

    stream: socket.socket
    """The client, non-blocking: its own connection, or the stream through the login part."""
    account: Account
    request: SessionRequest

    @property
    def pending(self) -> bytes:
        """What the client has sent already."""
        return self.request.pending


# --- the login part's end
async def hand_over(client: ClientConnection, path: str, request: SessionRequest, timeout: float) -> socket.socket:
    """Offer the client to the session service at `path`; gives the UNIX socket, which under TLS is the stream now.

    Raises HandOverFailed.
    """
    try:
        async with asyncio.timeout(timeout):
            channel = await AsyncChannel.connect(path, timeout)
            try:
                fds = () if client.encrypted else (client.socket.fileno(),)
                await channel.send(request.encode(), fds)
                reply = await _read_reply(channel.socket)
                if not reply.boolean("ok"):
                    raise HandOverFailed(reply.text("why"))
            except BaseException:
                channel.close()
                raise
            return channel.socket
    except TimeoutError:
        raise HandOverFailed("the session service did not answer in time") from None
    except (ChannelClosed, ProtocolError, OSError) as error:
        raise HandOverFailed(f"the session service is unavailable: {error}") from None


async def _read_reply(sock: socket.socket) -> Attributes:
    """One frame and not a byte more: what follows belongs to the client."""
    loop = asyncio.get_running_loop()
    reader = FrameReader()
    length = int.from_bytes(head := await _read_exactly(loop, sock, 4), "big")
    if length > 65536:
        raise ProtocolError("the reply of the session service is too long")
    reader.feed(head + await _read_exactly(loop, sock, length))
    reply = reader.frame()
    assert reply is not None
    return reply


async def _read_exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(sock, count - len(data))
        if not piece:
            raise ChannelClosed("the session service closed the connection")
        data += piece
    return data


# --- the session part's end
async def receive_session(connection: socket.socket, auth: AsyncAuthClient, service: str) -> SessionStart | None:
    """Take a client over on a connection that a login part has made; None when it was refused.

    Hosted accounts only: system users are served by the parent of `system`, which can become them.
    Where the client came as a descriptor, `connection` is closed.
    """
    channel = AsyncChannel(connection)
    fds: list[int] = []
    try:
        frame = await channel.receive(REQUEST_TIMEOUT)
        fds = frame.fds
        request = SessionRequest.decode(frame)
        try:
            account = await auth.redeem(request.token, service)
            why = refusal(account, system=False)
        except ServiceUnavailable as error:
            log.warning(error.reason)
            account, why = None, "authentication is unavailable"
        if account is None or why:
            close_all(fds)
            fds = []
            log.warning(f"{service}: session of user=<{request.username}> refused: {why}")
            await channel.send({"ok": False, "why": why})
            channel.close()
            return None
        channel.detach()
        await channel.send({"ok": True})
    except BaseException:
        close_all(fds)
        # Not left to who closes the socket: the loop would go on watching its number, which the next connection gets.
        channel.close()
        raise
    return SessionStart(_stream(connection, fds), account, request)


def refusal(account: Account | None, *, system: bool) -> str:
    """Why this account is not served here; "" when it is."""
    if account is None:
        return "the login has expired"
    if account.system != system:
        return "the account is of another kind"
    return ""


def encode_reply(why: str = "") -> bytes:
    """The session part's answer as a frame."""
    return encode_frame({"ok": False, "why": why} if why else {"ok": True})


def _stream(connection: socket.socket, fds: list[int]) -> socket.socket:
    stream = take_stream(connection, fds)
    stream.setblocking(False)
    return stream


def take_stream(connection: socket.socket, fds: list[int]) -> socket.socket:
    """The client's stream: the descriptor that came, else the connection itself."""
    if not fds:
        return connection
    connection.close()
    close_all(fds[1:])
    return socket.socket(fileno=fds[0])
