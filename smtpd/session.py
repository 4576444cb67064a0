"""One client's session: the asyncio shell around the protocol core.

Reads and writes, gives events to `handlers`, keeps the time; who the client is stands in `counterpart`.  Promises:
replies of a pipelined batch leave in one write; input is not read while more than `INPUT_LIMIT` of it waits, nor while
the client does not take our replies; one task at most runs for a session, and the usual RCPT needs none.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import XClient
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.authentication import Authentication
from pillarbox.smtpd.checks import decide
from pillarbox.smtpd.client import Client
from pillarbox.smtpd.counterpart import Counterpart
from pillarbox.smtpd.origin import Origin, connection_origin
from pillarbox.smtpd.policy.footer import with_footer
from pillarbox.smtpd.rates import new_tls_session

if TYPE_CHECKING:
    from pillarbox.smtpd.server import Server

Handlers: TypeAlias = "Mapping[type, Callable[[Session, Any], None]]"

INPUT_LIMIT = 64 * 1024
"""Unused input of one session beyond which nothing more is read."""

LINGER = 30.0
"""Seconds that a client has to take our last words."""


class Session(Counterpart):
    """From accept to the end of the connection; `released` is called once, when all is over."""

    def __init__(
        self, server: Server, handlers: Handlers, released: Callable[[], None], origin: Origin | None = None
    ) -> None:
        """`origin` is what a PROXY header says; without it the connection is believed."""
        super().__init__(server)
        self._told_origin = origin
        self._handlers = handlers
        if server.reject_footer:
            self.core.footer = functools.partial(with_footer, server.reject_footer, self)
        self._released = released
        self._authentication: Authentication | None = None
        proxy_filter = server.proxy_filter
        self.filter = proxy_filter.session(self) if proxy_filter is not None else None
        self._since = self._loop.time()
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Coroutine[Any, Any, None], bool] | None = None
        self._must_end = False
        self.on_stir: Callable[[], None] | None = None
        """Called when the client says something or goes, while a check in CONNECT waits for that."""
        self._tls_next = False
        self._in_handshake = False
        self._paused = False
        self._choked = False
        self._end_of_input = False
        self._closing = False
        self._lost = False
        self._ended = False

    @property
    def lost(self) -> bool:
        """Whether the client has gone."""
        return self._lost

    @property
    def silent(self) -> bool:
        """Whether the client has closed its side, so that nothing more can come."""
        return self._lost or self._end_of_input

    @property
    def authentication(self) -> Authentication:
        """The AUTH side, made when it is first needed."""
        if self._authentication is None:
            self._authentication = Authentication(self)
        return self._authentication

    # --- the connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet at once where nothing has to be asked first."""
        self.transport = cast(asyncio.Transport, transport)
        server = self.server
        server.sessions.add(self)
        _no_delay(transport)
        origin = self._told_origin or connection_origin(
            transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        )
        if origin is None:  # gone already
            self.client = Client("unknown", 0)
            self._connect_logged = True
            self.core.close("")
            self.transport.abort()
            return
        self._take_for(origin)
        self.core.granted = server.granted(origin.address)
        self._settle_name()
        if server.wrapper:
            self.core.tls = True
            self._secured()
        decide(self, "CONNECT", None, _greet, _turn_away)
        if not self._busy:
            self.pump()

    def impersonate(self, event: XClient) -> None:
        """XCLIENT: from now on the client is who the proxy says, and the session begins anew."""
        self.take_over(event)
        decide(self, "CONNECT", None, _greet_anew, _turn_away)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        core = self.core
        core.feed(data)
        if core.in_content:
            # Each octet buys its share of time: a trickle runs out of it as silence does.
            now, rate = self._loop.time(), self.server.limits.data_rate
            self._since = min(now, self._since + len(data) / rate) if rate else now
        if not self._busy:
            self.pump()
            return
        if self.on_stir is not None:
            self.on_stir()
        if core.buffered > INPUT_LIMIT:
            self._pause()

    def eof_received(self) -> bool:
        """The client sends no more; it may still want to read our replies."""
        self._end_of_input = True
        if self.on_stir is not None:
            self.on_stir()
        return self._busy and not self.core.tls

    def pause_writing(self) -> None:
        """The client does not take our replies."""
        self._choked = True
        self._pause()

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        if not self._busy:
            self.pump()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; a message that is complete is still delivered to the queue."""
        self._lost = True
        if self.on_stir is not None:
            self.on_stir()
        if self._task is not None and not self._must_end:
            self._task.cancel()
        if self._task is None or not self._must_end:
            self._end()

    # --- events
    def pump(self) -> None:
        """Handle what has arrived, then write what is to be said."""
        if self._ended:
            return
        core, handlers = self.core, self._handlers
        while not self._busy and not self._choked:
            event = core.next_event()
            if event is None:
                if self.server.stopping and not core.closed and core.stop():
                    continue
                output = core.take_output()
                if not output:
                    break
                self._since = self._loop.time()
                if core.tarpit and self.server.limits.error_sleep and not self._lost:
                    self._busy = True
                    self._loop.call_later(self.server.limits.error_sleep, self._write_late, output)
                    return
                self._write(output)
                if self._tls_next:
                    self._begin_tls()
                    return
                continue
            handlers[type(event)](self, event)
        if self._closing:
            if not self._busy:
                self._write(core.take_output())
                self.transport.close()
        elif self._busy or self._choked:
            if core.buffered > INPUT_LIMIT:
                self._pause()
        elif self._end_of_input:
            self.transport.close()
        elif self._paused and not self._in_handshake:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _write(self, output: bytes) -> None:
        if output and not self._lost and not self.transport.is_closing():
            self.transport.write(output)

    def _write_late(self, output: bytes) -> None:
        self._busy = False
        if self._ended:
            return
        self._write(output)
        if self._tls_next:
            self._begin_tls()
        else:
            self.pump()

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def later(self, work: Coroutine[Any, Any, None], *, must_end: bool = False) -> None:
        """Go on with a coroutine; no event is handled before it has ended.

        With `must_end` it is not cancelled when the client goes.  What comes from within such a coroutine begins when
        that one has ended.
        """
        if self._task is not None:
            assert self._next is None
            self._next = work, must_end
            return
        self._busy = True
        self._must_end = must_end
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._busy = False
        self._task = None
        self._must_end = False
        following, self._next = self._next, None
        if following is not None:
            work, must_end = following
            if not task.cancelled() and task.exception() is None and (must_end or not self._lost):
                self.later(work, must_end=must_end)
                return
            work.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line = f" (line {trace.tb_lineno} of {trace.tb_frame.f_code.co_name})" if trace is not None else ""
            log.panic(f"session with {self.client.tag}: {type(error).__name__}: {error}{line}")
            self.core.shut(replies.server_error(self.server.host), "")
        self._since = self._loop.time()
        if self._lost:
            self._end()
        else:
            self.pump()

    # --- TLS
    def start_tls(self) -> None:
        """Begin TLS as soon as the reply is written; what the client said before is forgotten."""
        self._tls_next = True
        if self.milters is not None:
            self.milters.abort()
        self.sasl_method = self.sasl_username = ""

    def _begin_tls(self) -> None:
        self._tls_next = False
        self._in_handshake = True
        # Nothing must be read between our reply and the handshake: it would be taken for plaintext.
        self._pause()
        self.core.tls_begins()
        self.later(self._handshake())

    async def _handshake(self) -> None:
        server = self.server
        assert server.tls is not None
        try:
            transport = await self._loop.start_tls(
                self.transport, self, server.tls, server_side=True, ssl_handshake_timeout=server.limits.tls_timeout
            )
        except (OSError, TimeoutError) as error:
            log.info(f"SSL_accept error from {self.client.tag}: {handshake_error(error)}")
            self.transport.abort()
            self._lost = True
            return
        if transport is None:  # the client went in the middle of the handshake
            self._lost = True
            return
        self.transport = transport
        self._in_handshake = self._paused = False
        self._secured()
        self.core.tls_started()
        refusal = await new_tls_session(self)
        if refusal is not None:
            self.core.shut(refusal, "")

    def reject(self, stage: str, reply: Reply, recipient: str | None = None) -> None:
        """Answer the event that waits with a refusal, and log it."""
        self.log_decision(reply.action, stage, str(reply), recipient)
        self.core.answer(reply)

    # --- the end
    def finish(self, reason: str) -> None:
        """The core has closed: the connection ends when the output is written."""
        if reason == "too many errors":
            log.info(f"{reason} after {self.core.where} from {self.client.tag}")
        self._closing = True

    def stop(self) -> None:
        """The service is stopping."""
        if self.on_stir is not None:
            self.on_stir()
        if not self._busy:
            self.pump()

    def sweep(self, now: float) -> None:
        """Once a second: a client that has been silent for too long is told so, one that takes nothing is cut off."""
        idle = now - self._since
        timeout = self.server.limits.timeout
        if self._ended or idle < min(LINGER, timeout):
            return
        if self._closing or (self._choked and idle >= timeout):
            self.transport.abort()
        elif not self._busy and not self._choked and idle >= timeout:
            where = self._where()
            log.info(f"timeout after {where} from {self.client.tag}")
            self.core.shut(replies.timed_out(self.server.host), "")
            self._since = now
            self.pump()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._name_task is not None and not self._name_task.done():
            self._name_task.cancel()
        self._log_connect()
        core = self.core
        if not core.closed:
            log.info(f"lost connection after {self._where()} from {self.client.tag}")
        if self.transaction is not None:
            self.transaction.abort()
            self.transaction = None
        if self.milters is not None:
            self.milters.close()
        if self._authentication is not None:
            self._authentication.end("")
        if self.filter is not None:
            self.filter.close()
        log.info(f"disconnect from {self.client.tag} {core.summary()}")
        if core.conversation is not None and core.conversation.problems:
            side = "LMTP server" if core.profile.lmtp else "SMTP server"
            self.server.notices.ended(core.conversation, side, self.client.tag)
        if self.registered:
            self.server.anvil.disconnect(self.server.service, self.server.clients.of(self.client.address))
        self.server.sessions.discard(self)
        self._released()


def _greet(session: Session, event: None) -> None:
    if session.server.stopping:
        session.core.shut(replies.stopping(session.server.host), "")
    else:
        # Who spoke too early and is to hear why gets a session.
        session.core.greet(patient=session.screened.refusal is not None)


def _greet_anew(session: Session, event: None) -> None:
    session.core.answer(replies.greeting(session.server.profile.greeting))


def _turn_away(session: Session, event: None, reply: Reply) -> None:
    session.core.turn_away(reply, replies.turned_away(session.client.tag))


def _no_delay(transport: asyncio.BaseTransport) -> None:
    # uvloop does this itself; asyncio does not for connections of inherited listeners.
    connection = transport.get_extra_info("socket")
    if isinstance(connection, TransportSocket):
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def handshake_error(error: BaseException) -> str:
    """Why a handshake failed, for the log."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return str(error) or type(error).__name__
