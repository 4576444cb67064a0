"""One client's session: the asyncio shell around the protocol core.

Reads and writes, gives events to `handlers`, keeps the time, writes the connection's log lines.  Promises: replies of a
pipelined batch leave in one write; input is not read while more than `INPUT_LIMIT` of it waits, nor while the client
does not take our replies; one task at most runs for a session, and the usual RCPT needs none.
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

from pillarbox.lib.clients.auth import NO_SECURITY, Security
from pillarbox.lib.clients.auth_security import channel_security
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_attributes import known
from pillarbox.lib.smtp.events import XClient
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.server import ServerSession
from pillarbox.lib.tls import ClientCertificate, TlsFacts, tls_facts
from pillarbox.smtpd.authentication import Authentication
from pillarbox.smtpd.checks import decide
from pillarbox.smtpd.client import Client
from pillarbox.smtpd.origin import NOWHERE, Origin, connection_origin, impersonated, named_by_proxy
from pillarbox.smtpd.policy.footer import with_footer
from pillarbox.smtpd.policy.memory import Memory
from pillarbox.smtpd.rates import new_tls_session
from pillarbox.smtpd.screening.screen import UNSCREENED
from pillarbox.smtpd.transaction import Transaction

if TYPE_CHECKING:
    from pillarbox.smtpd.milters import SessionMilters
    from pillarbox.smtpd.server import Server

Handlers: TypeAlias = "Mapping[type, Callable[[Session, Any], None]]"

INPUT_LIMIT = 64 * 1024
"""Unused input of one session beyond which nothing more is read."""

LINGER = 30.0
"""Seconds that a client has to take our last words."""


class Session(asyncio.Protocol):
    """From accept to the end of the connection; `released` is called once, when all is over."""

    transport: asyncio.Transport
    client: Client

    def __init__(
        self, server: Server, handlers: Handlers, released: Callable[[], None], origin: Origin | None = None
    ) -> None:
        """`origin` is what a PROXY header says; without it the connection is believed."""
        self.server = server
        self._told_origin = origin
        self.origin = NOWHERE
        self._handlers = handlers
        self.core = ServerSession(server.profile)
        if server.reject_footer:
            self.core.footer = functools.partial(with_footer, server.reject_footer, self)
        self.transaction: Transaction | None = None
        self.policy: Memory | None = None
        self.milters: SessionMilters | None = None
        self.sasl_method = ""
        self.sasl_username = ""
        self.tls: TlsFacts | None = None
        """The TLS session, once there is one."""
        self.trusted = False
        self.counted = False
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._authentication: Authentication | None = None
        proxy_filter = server.proxy_filter
        self.filter = proxy_filter.session(self) if proxy_filter is not None else None
        self._since = self._loop.time()
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Coroutine[Any, Any, None], bool] | None = None
        self._must_end = False
        self._name_task: asyncio.Task[None] | None = None
        self._connect_logged = False
        self.registered = False
        """Whether anvil counts this connection."""
        self.screened = UNSCREENED
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
    def local_address(self) -> str:
        """The address that the client has connected to."""
        return self.origin.local_address

    @property
    def authentication(self) -> Authentication:
        """The AUTH side, made when it is first needed."""
        if self._authentication is None:
            self._authentication = Authentication(self)
        return self._authentication

    @property
    def cipher(self) -> str:
        """`TLSv1.3 with cipher ...`, or "" in clear text."""
        return self.tls.text if self.tls is not None else ""

    @property
    def ccert(self) -> ClientCertificate | None:
        """The client's certificate, where it was asked for one and has one."""
        return self.tls.certificate if self.tls is not None else None

    @property
    def ccert_subject(self) -> str:
        """The common name in the client's certificate; says something only where `ccert_trusted`."""
        return self.ccert.subject if self.ccert is not None else ""

    @property
    def ccert_issuer(self) -> str:
        """Who issued it."""
        return self.ccert.issuer if self.ccert is not None else ""

    @property
    def ccert_fingerprint(self) -> str:
        """The certificate's fingerprint (`9A:3F:...`, smtpd_tls_fingerprint_digest)."""
        return self.ccert.fingerprint if self.ccert is not None else ""

    @property
    def ccert_pubkey_fingerprint(self) -> str:
        """The fingerprint of its public key, which stays when the certificate is renewed."""
        return self.ccert.pubkey_fingerprint if self.ccert is not None else ""

    @property
    def ccert_trusted(self) -> bool:
        """Whether an authority in smtpd_tls_CAfile vouches for the certificate."""
        return self.ccert is not None and self.ccert.trusted

    @property
    def security(self) -> Security:
        """What the auth service is told of the client's TLS session."""
        return channel_security(self.transport.get_extra_info("ssl_object")) if self.core.tls else NO_SECURITY

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

    def _take_for(self, origin: Origin) -> None:
        server = self.server
        self.origin = origin
        self.client = Client(origin.address, origin.port)
        self.trusted = origin.address in server.trusted
        self.core.profile = server.profile_for(origin.address)
        self.counted = server.limits.counting and origin.address not in server.exempt

    def _settle_name(self) -> None:
        found = self.server.names.known(self.client.address)
        if found is not None:
            self.client.settle(found.name, found)
            self._log_connect()
        else:
            self._name_task = self._loop.create_task(self._find_name())

    def impersonate(self, event: XClient) -> None:
        """XCLIENT: from now on the client is who the proxy says, and the session begins anew."""
        self._log_connect()
        if self._name_task is not None:
            self._name_task.cancel()
            self._name_task = None
        if self.registered:
            self.server.anvil.disconnect(self.server.service, self.server.clients.of(self.client.address))
            self.registered = False
        self.policy = None
        proxy, attributes = self.client, event.attributes
        self._take_for(impersonated(attributes, self.origin))
        if not named_by_proxy(attributes, self.client, proxy):
            self._settle_name()
        self.core.granted = self.core.granted - {"EXPN"} | self.server.granted(self.client.address) & {"EXPN"}
        self.sasl_username = known(attributes, "LOGIN")
        self.sasl_method = "XCLIENT" if self.sasl_username else ""
        log.info(f"XCLIENT from {proxy.tag}: client={self.client.tag}")
        decide(self, "CONNECT", None, _greet_anew, _turn_away)

    async def _find_name(self) -> None:
        server, client = self.server, self.client
        try:
            found = await server.names.find(client.address, server.limits.name_timeout)
        except OSError as error:
            log.warning(f"{client.address}: name look-up: {error}")
        else:
            client.settle(found.name, found)
        client.named = True
        self._log_connect()

    async def name_settled(self) -> None:
        """Wait until the client's name is known, or known not to be."""
        if self._name_task is not None and not self.client.named:
            await asyncio.wait((self._name_task,))

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        core = self.core
        core.feed(data)
        if core.in_content:
            self._since = self._loop.time()
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

    def _secured(self) -> None:
        """The handshake is done."""
        self.tls = tls_facts(self.transport.get_extra_info("ssl_object"), self.server.fingerprint_digest)
        if self._connect_logged:  # else it waits for the client's name, as that line does
            self._log_tls(self.tls)

    def _log_tls(self, facts: TlsFacts) -> None:
        if not self.server.tls_log:
            return
        tag = self.client.tag
        if facts.certificate is not None and facts.certificate.problem:
            log.info(f"client certificate verification failed for {tag}: {facts.certificate.problem}")
        name = f" to {facts.name}" if facts.name else ""
        log.info(f"{facts.status} TLS connection established from {tag}{name}: {facts.details}")

    # --- the log, and refusals
    @property
    def queue_id(self) -> str:
        """The id for log lines; NOQUEUE where there is none."""
        return self.transaction.queue_id if self.transaction is not None else "NOQUEUE"

    def reject(self, stage: str, reply: Reply, recipient: str | None = None) -> None:
        """Answer the event that waits with a refusal, and log it."""
        self.log_decision(reply.action, stage, str(reply), recipient)
        self.core.answer(reply)

    def log_rejection(self, stage: str, text: str, recipient: str | None = None) -> None:
        """A refusal."""
        self.log_decision("reject", stage, text, recipient)

    def log_decision(self, word: str, stage: str, text: str, recipient: str | None = None) -> None:
        """`ID: reject: RCPT from NAME[ADDRESS]: TEXT; from=<...> to=<...> proto=ESMTP helo=<...>`."""
        words = []
        if self.transaction is not None:
            words.append(f"from=<{self.transaction.sender}>")
        if recipient is not None:
            words.append(f"to=<{recipient}>")
        words.append(f"proto={self.core.protocol}")
        if self.core.helo_name:
            words.append(f"helo=<{self.core.helo_name}>")
        log.info(f"{self.queue_id}: {word}: {stage} from {self.client.tag}: {text}; {' '.join(words)}")

    def _log_connect(self) -> None:
        if not self._connect_logged:
            self._connect_logged = True
            log.info(f"connect from {self.client.tag}")
            if self.tls is not None:
                self._log_tls(self.tls)

    def _where(self) -> str:
        core = self.core
        return f"{core.where} ({core.content_size} bytes)" if core.in_content else core.where

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
