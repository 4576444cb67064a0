"""The child's side of `system`: all sessions of one user in one process, which the parent hands it one by one.

    sessions = UserSessions(channel, "imap")
    await sessions.serve(handler)                  # on an event loop: a task per session
    sessions.serve_in_threads(handler)             # or a thread per session

Both return when the parent hands on no more (it has closed the channel, or is gone) and all sessions have ended; where
`stop` was called, when all have ended.  Each end is told to the parent with one byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable

from pillarbox.lib.clients.auth_messages import decode_account
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ProtocolError, close_all
from pillarbox.lib.log import log
from pillarbox.lib.login.handover import SessionRequest, SessionStart, encode_reply, take_stream

ENDED = b"."
"""What the parent is told for each session that has ended."""


class UserSessions:
    """The sessions of the process's user; see the module."""

    def __init__(self, channel: Channel, service: str) -> None:
        self._channel = channel
        self._service = service
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Event | None = None
        self._no_more = False

    # --- on an event loop
    async def serve(self, handler: Callable[[SessionStart], Awaitable[None]]) -> None:
        """Run `await handler(start)` as a task for each session."""
        loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        channel = self._channel
        channel.socket.setblocking(False)

        def readable() -> None:
            try:
                channel.fill()
                while (frame := channel.next_frame()) is not None:
                    if (start := self._take(frame)) is not None:
                        task = loop.create_task(self._run(handler, start))
                        self._tasks.add(task)
            except (ChannelClosed, ProtocolError) as error:
                if isinstance(error, ProtocolError):
                    log.warning(f"{self._service}: protocol error of the parent: {error}")
                loop.remove_reader(channel.fileno())
                self._no_more = True
                self._check()

        loop.add_reader(channel.fileno(), readable)
        await self._over.wait()
        if not self._no_more:
            loop.remove_reader(channel.fileno())

    async def _run(self, handler: Callable[[SessionStart], Awaitable[None]], start: SessionStart) -> None:
        try:
            await handler(start)
        except Exception as error:  # the last line of defence: the other sessions go on
            self._failed(start, error)
        finally:
            start.stream.close()
            self._ended()
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            self._check()

    def stop(self) -> None:
        """End with the sessions that there are; on the event loop."""
        self._stopping = True
        self._check()

    def _check(self) -> None:
        if self._over is not None and not self._tasks and (self._stopping or self._no_more):
            self._over.set()

    # --- in threads
    def serve_in_threads(self, handler: Callable[[SessionStart], None]) -> None:
        """Run `handler(start)` in a thread for each session."""
        threads: list[threading.Thread] = []

        def run(start: SessionStart) -> None:
            try:
                handler(start)
            except Exception as error:  # as above
                self._failed(start, error)
            finally:
                start.stream.close()
                self._ended()

        try:
            while True:
                start = self._take(self._channel.receive())
                if start is not None:
                    threads = [each for each in threads if each.is_alive()]
                    threads.append(threading.Thread(target=run, args=(start,)))
                    threads[-1].start()
        except ChannelClosed:
            pass
        for thread in threads:
            thread.join()

    def refuse(self, why: str) -> None:
        """Take no session: the process could not become the user.  Answers the one that waits."""
        with contextlib.suppress(ChannelClosed):
            frame = self._channel.receive()
            request = SessionRequest.decode(frame.attributes("request"))
            log.warning(f"{self._service}: session of user=<{request.username}> refused: {why}")
            connection = socket.socket(fileno=frame.fds[0])
            with connection, contextlib.suppress(OSError):
                connection.sendall(encode_reply(why))
            close_all(frame.fds[1:])

    # --- both
    def _take(self, frame: Attributes) -> SessionStart | None:
        """The client that a frame brings; None where its login part is gone."""
        request, account = SessionRequest.decode(frame.attributes("request")), decode_account(frame)
        if account is None or not frame.fds:
            raise ProtocolError("a session without an account or a client")
        connection = socket.socket(fileno=frame.fds[0])
        try:
            connection.sendall(encode_reply())
            stream = take_stream(connection, frame.fds[1:])
        except OSError:
            connection.close()
            close_all(frame.fds[1:])
            self._ended()
            return None
        stream.setblocking(False)
        return SessionStart(stream, account, request)

    def _failed(self, start: SessionStart, error: Exception) -> None:
        log.error(f"{self._service}: session of user=<{start.request.username}>: {type(error).__name__}: {error}")

    def _ended(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.socket.send(ENDED, socket.MSG_NOSIGNAL)
