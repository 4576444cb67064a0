"""Octets and time for one conversation: an asyncio protocol around `lib.smtp.client`.

The owner asks the client core for something and then awaits `settle()`, which ends when the server owes nothing more.
One future and one lazily re-armed timer per connection; no task, no stream, one write per flight.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Iterator
from typing import NoReturn, cast

from pillarbox.lib.clients.notices import AsyncNotices
from pillarbox.lib.delivery import Content
from pillarbox.lib.sasl.client import Credentials
from pillarbox.lib.smtp.client import Client, State
from pillarbox.lib.smtp.client_command import bdat
from pillarbox.lib.smtp.client_content import ContentEncoder, binary_head
from pillarbox.lib.smtp.client_reply import ReplyError
from pillarbox.lib.smtp.client_stage import DEFAULT_TIMEOUTS, Stage, Timeouts
from pillarbox.lib.smtp.client_transaction import Progress
from pillarbox.lib.smtp.conversation import Conversation
from pillarbox.lib.tls.sessions import Resumable
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.terms import Terms

CHUNK = 64 * 1024
"""Bytes of content that are read, encoded and written at a time; a message that fits goes out in one write."""


class ConversationFailed(Exception):
    """The conversation broke off.  `stage` is what it was at, `text` says it in Postfix's words, `dsn` fits."""

    def __init__(self, stage: Stage, dsn: str, text: str) -> None:
        super().__init__(text)
        self.stage = stage
        self.dsn = dsn
        self.text = text


class Connection(asyncio.Protocol):
    """One connection to `server`.  `times` is given so that tests need not wait."""

    def __init__(self, server: Server, client: Client, timeouts: Timeouts, terms: Terms) -> None:
        self.server = server
        self.client = client
        self.uses = 0
        self.opened = 0.0
        """When it became ready for mail, by the loop's clock."""
        self.ready = 0.0
        """The same by the wall clock."""
        self.idle_since = 0.0
        self.destination = ""
        """The next hop under which the connection may be found again."""
        self.tls = ""
        """Protocol and cipher; empty in clear text."""
        self.tls_status = ""
        """How it is protected, for the log: dane, verify/sts, may:none."""
        self.terms = terms
        """What it was made for, and fulfils."""
        self.verified = False
        """Whether TLS has shown whose the server is."""
        self.resumed: Resumable | None = None
        """The TLS session that the handshake was to resume."""
        self.login: Credentials | None = None
        """As whom it is logged in."""
        self.keep = False
        """Whether it may be kept for another message."""
        self.mangled = False
        """Whether a firewall has written over the greeting."""
        self.least_rate = 0
        """Bytes of content in a second, on an average, below which the server is too slow; 0: any number."""
        self.hears_goodbye = False
        """Whether the reply to QUIT is waited for."""
        self.domains: set[str] = set()
        """Of the recipients that were named, where the server limits them (RFC 9422)."""
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._lost = False
        self._error: ReplyError | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timed_out = False
        self._notices: AsyncNotices | None = None
        self._content_deadline = 0.0
        self._leaving = False

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own classes are no subclasses
        self._transport.set_write_buffer_limits(high=4 * CHUNK)

    def data_received(self, data: bytes) -> None:
        client = self.client
        if self._error is not None:
            return
        try:
            complete = client.receive(data)
        except ReplyError as error:
            self._error = error
            if self._transport is not None:
                self._transport.abort()  # nothing that follows can be read; it must not pile up
            if client.conversation is not None:
                client.conversation.unreadable(str(error))
            self._wake()
            return
        if self._leaving:
            if complete:
                self.close()
            return
        output = client.take_output()
        if output and self._transport is not None:
            self._transport.write(output)
        if client.waiting is None or client.state is State.CLOSING:
            self._wake()
        elif complete:  # a reply that comes in drops has no more time than one in one piece
            self._arm()

    def eof_received(self) -> bool:
        self._lost = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- time

    def _stage(self) -> Stage:
        client = self.client
        if client.transaction is not None and client.transaction.progress is Progress.CONTENT:
            return Stage.BODY
        return client.waiting or Stage.QUIT

    def _limit(self) -> float:
        stage = self._stage()
        return self._timeouts.get(stage, DEFAULT_TIMEOUTS[stage])

    def _arm(self, deadline: float = math.inf) -> None:
        self._deadline = min(self._loop.time() + self._limit(), deadline)
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_time)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._check_time)

    def _check_time(self) -> None:
        self._timer = None
        waits = self._waiter is not None or self._writable is not None
        if not waits:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_time)
            return
        self._timed_out = True
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- the owner's side

    @property
    def alive(self) -> bool:
        """Whether nothing speaks against another message."""
        return not self._lost and self._error is None and self.client.reusable

    @property
    def exhausted(self) -> bool:
        """Whether the server takes no further message in this session (RFC 9422 section 4.1)."""
        most = self.client.capabilities.limits.messages
        return most > 0 and self.uses >= most

    async def settle(self) -> None:
        """Send what is to be sent and wait until the server owes nothing.  Raises ConversationFailed."""
        client = self.client
        self._write()
        while client.waiting is not None:
            self._check()
            self._waiter = self._loop.create_future()
            self._arm()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            self._check()

    def take_turn(self, stage: Stage) -> None:
        """Make sure that nothing came while nothing was asked.  Raises ConversationFailed."""
        if self.alive:
            return
        said, text = self.client.unsolicited, f"lost connection with {self.server.name} while {stage.doing}"
        if self._error is not None:
            text = f"host {self.server.name} sent a malformed reply: {self._error}"
        elif said is not None:
            text = f"host {self.server.name} said: {said} (while {stage.doing})"
        raise ConversationFailed(stage, "4.4.2", text)

    def _write(self) -> None:
        output = self.client.take_output()
        if output and self._transport is not None and not self._lost:
            self._transport.write(output)

    def _check(self) -> None:
        stage = self._stage()
        if self._error is not None:
            reply = f"{self.server.name} sent a malformed reply: {self._error}"
            raise ConversationFailed(stage, "4.5.0", f"host {reply} (in reply to {stage.command})")
        if self._lost:
            raise ConversationFailed(stage, "4.4.2", f"lost connection with {self.server.name} while {stage.doing}")
        if self._timed_out:
            text = f"conversation with {self.server.name} timed out while {stage.doing}"
            raise ConversationFailed(stage, "4.4.2", text)

    async def send_content(self, content: Content, line_limit: int, whole: bytes = b"", *, pause: float = 0.0) -> None:
        """Send a message and await the verdict.  Raises ConversationFailed; a message is never ended half-way.

        `whole` is all of the content, where it is at hand.  `pause` are seconds before the dot.
        """
        encoder = ContentEncoder(line_limit)
        client = self.client
        self._content_deadline = 0.0
        if whole and not pause and client.state is State.MESSAGE:
            client.end_content(encoder.encode(whole) + encoder.finish())
            await self.settle()
            return
        start = 0
        try:
            if not content.in_file:
                await self._send_pieces(content.chunks(CHUNK), encoder)
                start = content.size
            while content.size - start > CHUNK and client.state is State.MESSAGE:
                data = content.read(start, CHUNK)
                start += len(data)
                client.content(encoder.encode(data))
                self._write()
                await self._drain(len(data))
            if client.state is State.MESSAGE:
                parts = []
                while start < content.size:
                    data = content.read(start, CHUNK)
                    start += len(data)
                    parts.append(encoder.encode(data))
                if pause:
                    client.content(b"".join(parts))
                    self._write()
                    await asyncio.sleep(pause)
                    parts.clear()
                    self._check_alive()
            if client.state is State.MESSAGE:
                client.end_content(b"".join((*parts, encoder.finish())))
        except (OSError, EOFError):
            self._broken_off()
        await self.settle()

    async def send_octets(self, content: Content) -> None:
        """The same for a BINARYMIME body: one chunk of known size (RFC 3030)."""
        client = self.client
        try:
            header = content.header()
            start = len(header) + (content.read(len(header), 1) == b"\n")
            head = binary_head(header)
            if client.state is State.MESSAGE:
                client.content(bdat(len(head) + content.size - start) + head)
            while content.size - start > CHUNK and client.state is State.MESSAGE:
                data = content.read(start, CHUNK)
                start += len(data)
                client.content(data)
                self._write()
                await self._drain(len(data))
            if client.state is State.MESSAGE:
                parts = []
                while start < content.size:
                    parts.append(content.read(start, CHUNK))
                    start += len(parts[-1])
                client.end_content(b"".join(parts))
        except (OSError, EOFError):
            self._broken_off()
        await self.settle()

    async def _send_pieces(self, pieces: Iterator[bytes], encoder: ContentEncoder) -> None:
        client = self.client
        for piece in pieces:
            if client.state is not State.MESSAGE:
                return
            client.content(encoder.encode(piece))
            self._write()
            await self._drain(len(piece))

    def _broken_off(self) -> NoReturn:
        """The content cannot be read: end the conversation, so that the server takes no half a message."""
        self.abort()
        raise ConversationFailed(Stage.BODY, "4.3.0", f"local data error while talking to {self.server.name}") from None

    async def _drain(self, sent: int) -> None:
        """Wait until more can be written; `sent` bytes of content have been since the last time."""
        if self.least_rate:
            now, limit = self._loop.time(), self._limit()
            self._content_deadline = min((self._content_deadline or now + limit) + sent / self.least_rate, now + limit)
        else:
            self._content_deadline = math.inf
        while self._paused and not self._lost and self.client.state is State.MESSAGE:
            self._writable = self._loop.create_future()
            self._arm(self._content_deadline)
            try:
                await self._writable
            finally:
                self._writable = None
            if self._timed_out:
                break
        self._check_alive()

    def _check_alive(self) -> None:
        if self._lost or self._timed_out or self._error is not None:
            self._check()

    async def start_tls(
        self, context: ssl.SSLContext, name: str | None, timeout: float, *, wrapped: bool = False
    ) -> None:
        """The handshake after the server said yes, or (`wrapped`) before it said anything.

        Raises OSError (ssl.SSLError among them) or TimeoutError.
        """
        assert self._transport is not None
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=name, ssl_handshake_timeout=timeout
        )
        if transport is None or self._lost:
            raise ConnectionResetError("the connection was closed during the handshake")
        self._transport = transport
        transport.set_write_buffer_limits(high=4 * CHUNK)
        if not wrapped:
            self.client.secured()

    @property
    def local_address(self) -> str:
        """Ours, as reports name it; "" for a UNIX socket."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS session, None in clear text."""
        found = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return found if isinstance(found, ssl.SSLObject) else None

    def quit(self) -> None:
        """Say goodbye and close, by default without waiting for the answer (smtp_skip_quit_response)."""
        if not self._lost and self.client.state is not State.CLOSING and self.client.waiting is None:
            self.client.quit()
            self._write()
            if self.hears_goodbye and not self._leaving:
                self._leaving = True
                self._stop_timer()
                self._timer = self._loop.call_later(self._limit(), self.close)
                return
        self.close()

    def watch(self, notices: AsyncNotices) -> None:
        """Tell the postmaster at the end of problems of the classes that he asks for."""
        self._notices = notices
        self.client.conversation = Conversation()

    def _tell(self) -> None:
        conversation, self.client.conversation = self.client.conversation, None
        if conversation is not None and conversation.problems and self._notices is not None:
            side = "LMTP client" if self.client.lmtp else "SMTP client"
            self._notices.ended(conversation, side, self.server.relay)

    def close(self) -> None:
        """Close when what was written is out."""
        self._tell()
        if self._transport is not None:
            self._transport.close()
        self._stop_timer()

    def abort(self) -> None:
        """Close at once; what is not out is dropped."""
        self._tell()
        self._lost = True
        if self._transport is not None:
            self._transport.abort()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
