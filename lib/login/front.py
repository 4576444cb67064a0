"""The login part's front: what happens to a connection that is the same for IMAP, POP3 and ManageSieve.

It holds the clock, the TLS context, the exchanges with auth, the count of failures, the hand-over and the log lines;
the dialogue itself is the protocol's (`LoginProtocol`).  Lines are worded so that the filters which administrators have
for failed logins (fail2ban's "dovecot") find them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping

from pillarbox.lib.clients.auth import AsyncAuthClient, Challenge, Failure, Step, Success
from pillarbox.lib.clients.auth_security import channel_security
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.login import (
    LOGIN_MAX_FAILURES,
    LOGIN_SESSION_TIMEOUT,
    LOGIN_TIMEOUT,
    LOGIN_TLS_SECURITY_LEVEL,
    LOGIN_TLS_WRAPPERMODE,
)
from pillarbox.lib.hosted.owners import owners_differ
from pillarbox.lib.log import log
from pillarbox.lib.login.connection import ClientConnection, ClientGone
from pillarbox.lib.login.handover import HandOverFailed, SessionRequest, hand_over
from pillarbox.lib.login.proxy import proxy
from pillarbox.lib.sasl import SaslAborted, SaslSyntaxError

LOOPBACK = ("127.", "::1")


class _TimedOut(Exception):
    """The client took too long to log in."""


class _Stopping(Exception):
    """The service is told to stop."""


class LoginProtocol(ABC):
    """One protocol's dialogue before login.  One object serves all connections."""

    service: str
    """The service's name for auth: "imap", "pop3", "sieve"."""
    name: str = ""
    """The name of its session part's socket, and of the login part in the log; "" where it is that of the service."""
    timed_out: bytes
    """What a client is told that took too long."""
    stopping: bytes
    """What a client is told when the service stops."""

    @abstractmethod
    async def talk(self, login: Login) -> None:
        """Greet the client and speak with it until it has logged in and been handed over, or wants to end.

        ClientGone may be let out.
        """


class Login:
    """One connection, as the dialogue sees it."""

    def __init__(self, front: LoginFront, connection: ClientConnection) -> None:
        self.front = front
        self.connection = connection
        self.attempts = 0
        self.reason = ""
        """Why the server ends the connection ("Too many invalid commands"), for the log."""
        self._began = asyncio.get_running_loop().time()
        self._username = ""
        self._method = ""
        self.logged_in = False

    @property
    def encrypted(self) -> bool:
        return self.connection.encrypted

    @property
    def tls_offered(self) -> bool:
        """Whether STARTTLS makes sense here and now."""
        return self.front.tls is not None and not self.encrypted

    @property
    def too_many_failures(self) -> bool:
        return self.attempts >= self.front.config[LOGIN_MAX_FAILURES]

    async def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms to advertise now; empty when nobody may log in before TLS, or when auth is away."""
        if self.front.tls_required and not self.encrypted:
            return ()
        try:
            return await self.front.auth.mechanisms(
                self.encrypted, self.connection.client_address, channel_security(self.connection.tls_session)
            )
        except ServiceUnavailable as error:
            log.warning(error.reason)
            return ()

    async def start_tls(self) -> None:
        """Run the handshake; call it after the answer to STARTTLS was written.  Raises ClientGone."""
        assert self.front.tls is not None
        await self.connection.start_tls(self.front.tls)

    # --- credentials
    async def authenticate(
        self, mechanism: str, initial: bytes | None, ask: Callable[[bytes], Awaitable[bytes]]
    ) -> Success | Failure:
        """A SASL exchange.  `ask(challenge)` gives the client's response; it may raise SaslAborted, SaslSyntaxError."""
        connection, auth = self.connection, self.front.auth
        self._method = mechanism.upper()
        if self.front.tls_required and not self.encrypted:
            return Failure("encryption required", kind="privacy")
        try:
            step: Step = await auth.begin(
                self.front.protocol.service,
                mechanism,
                initial,
                client_address=connection.client_address,
                encrypted=self.encrypted,
                local_address=connection.local_address,
                security=channel_security(connection.tls_session),
            )
            while isinstance(step, Challenge):
                try:
                    response = await ask(step.data)
                except BaseException:
                    auth.abort(step)
                    raise
                step = await auth.continue_(step, response)
        except SaslAborted:
            return Failure("authentication aborted by the client", kind="malformed")
        except SaslSyntaxError as error:
            return Failure(str(error), kind="malformed")
        except ServiceUnavailable as error:
            return self._unavailable(error)
        return self._judge(step)

    async def login(self, username: str, password: str) -> Success | Failure:
        """A plain password (LOGIN, USER and PASS)."""
        self._method, self._username = "PLAIN", username
        if self.front.tls_required and not self.encrypted:
            return Failure("encryption required", kind="privacy")
        try:
            step = await self.front.auth.login(
                self.front.protocol.service,
                username,
                password,
                client_address=self.connection.client_address,
                encrypted=self.encrypted,
            )
        except ServiceUnavailable as error:
            return self._unavailable(error)
        if isinstance(step, Challenge):
            return Failure("authentication failed")
        return self._judge(step)

    def _unavailable(self, error: ServiceUnavailable) -> Failure:
        log.warning(error.reason)
        return Failure("authentication is temporarily unavailable", temporary=True, kind="temporary")

    def _judge(self, step: Success | Failure) -> Success | Failure:
        if isinstance(step, Success):
            self._username, self._method = step.username, step.mechanism or self._method
        else:
            self._username = step.username or self._username
            if step.kind in ("credentials", "disabled", "locked"):
                self.attempts += 1
        return step

    # --- the end
    async def hand_over(self, success: Success, extra: Mapping[str, str], pending: bytes = b"") -> None:
        """Give the client to its session; returns when the login part has nothing more to do with it.

        `pending` are bytes that the dialogue has taken and not used.  Raises HandOverFailed; then the client is still
        here to be answered.
        """
        connection, front = self.connection, self.front
        request = SessionRequest(
            token=success.token,
            username=success.username,
            method=self._method,
            client_address=connection.client_address,
            local_address=connection.local_address,
            encrypted=connection.encrypted,
            tls_text=connection.tls_text,
            pending=pending + connection.buffer,
            extra=extra,
        )
        connection.buffer = b""
        path = await front.session_path(success.username)
        front.suspend_clock(self)
        try:
            session = await hand_over(connection, path, request, front.config[LOGIN_SESSION_TIMEOUT])
        except HandOverFailed as error:
            connection.buffer = request.pending
            log.error(f"{front.label}: Internal login failure: {error}: {self.place()}")
            raise
        self.logged_in = True
        log.info(f"{front.label}: Login: {self.place()}")
        try:
            if connection.encrypted:
                await proxy(connection, session)
        finally:
            session.close()

    def place(self) -> str:
        """Who and where, for the log."""
        connection = self.connection
        text = f"user=<{self._username}>, "
        if self._method:
            text += f"method={self._method}, "
        text += f"rip={connection.client_address}, lip={connection.local_address}"
        if connection.encrypted:
            return f"{text}, TLS, {connection.tls_text}"
        return text + ", secured" if connection.client_address.startswith(LOOPBACK) else text

    def farewell(self, what: str) -> None:
        """Log the end of a connection that nobody logged in on."""
        seconds = int(asyncio.get_running_loop().time() - self._began)
        if self.attempts:
            tries = f"auth failed, {self.attempts} attempts in {seconds} secs"
        else:
            tries = f"no auth attempts in {seconds} secs"
        reason = f": {self.reason}" if self.reason else ""
        log.info(f"{self.front.label}: {what}{reason} ({tries}): {self.place()}")


class LoginFront:
    """The login part of one service in one process."""

    def __init__(self, config: Config, protocol: LoginProtocol, tls: ssl.SSLContext | None) -> None:
        """`tls` is the server's context, None where there is no certificate."""
        level = config[LOGIN_TLS_SECURITY_LEVEL]
        self.config = config
        self.protocol = protocol
        self.tls = tls if level != "none" or config[LOGIN_TLS_WRAPPERMODE] else None
        self.tls_required = level == "encrypt"
        self.auth = AsyncAuthClient(config)
        self._name = protocol.name or protocol.service
        self.label = f"{self._name}-login"
        self._apart = owners_differ(config)
        """Whether the sessions of every account have a process of their own, as whose mailbox it is."""
        self._wrapper = config[LOGIN_TLS_WRAPPERMODE]
        self._waiting: dict[Login, asyncio.TimerHandle] = {}
        self._stopping = False

    async def session_path(self, username: str) -> str:
        """The socket of the session part that serves this user.

        A wrong answer harms nobody: the session part redeems the token itself and serves its own kind of account only.
        """
        apart = self._apart
        if not apart:
            with contextlib.suppress(ServiceUnavailable):
                account = await self.auth.account(username)
                apart = account is not None and account.system
        return self.config.socket_path(f"{self._name}-system" if apart else self._name)

    async def handle(self, sock: socket.socket) -> None:
        """Serve one connection to its end (the handler for `serve_connections`)."""
        try:
            connection = ClientConnection(sock)
        except OSError:
            return  # the client was gone before we looked
        login = Login(self, connection)
        self._start_clock(login)
        try:
            if self._wrapper:
                await self._begin_tls(login)
            await self.protocol.talk(login)
            if not login.logged_in:
                login.farewell(
                    "Disconnected" if login.reason else "Aborted login" if login.attempts else "Disconnected"
                )
        except ClientGone as error:
            if not login.logged_in:
                login.reason = "" if "closed by the client" in str(error) else str(error)
                login.farewell("Disconnected")
        except _TimedOut:
            login.reason = "Inactivity"
            await self._dismiss(login, self.protocol.timed_out)
        except _Stopping:
            login.reason = "Shutting down"
            await self._dismiss(login, self.protocol.stopping)
        finally:
            self.suspend_clock(login)
            if not login.logged_in:
                await connection.shut()
            connection.close()

    async def _begin_tls(self, login: Login) -> None:
        if self.tls is None:
            login.reason = "TLS handshake impossible, no certificate is configured"
            raise ClientGone(login.reason)
        await login.start_tls()

    async def _dismiss(self, login: Login, text: bytes) -> None:
        if login.encrypted or not self._wrapper:  # a client in a TLS handshake understands no text
            with contextlib.suppress(ClientGone):
                await login.connection.write(text)
        login.farewell("Disconnected")

    def _start_clock(self, login: Login) -> None:
        connection = login.connection
        if self._stopping:
            connection.interrupt(_Stopping())
        loop = asyncio.get_running_loop()
        self._waiting[login] = loop.call_later(self.config[LOGIN_TIMEOUT], lambda: connection.interrupt(_TimedOut()))

    def suspend_clock(self, login: Login) -> None:
        """The time to log in has ended, one way or the other."""
        timer = self._waiting.pop(login, None)
        if timer is not None:
            timer.cancel()
            login.connection.cancel_interruption()

    def stop(self) -> None:
        """Tell all who have not logged in that the service stops; those who have are their session's business."""
        self._stopping = True
        for login in self._waiting:
            login.connection.interrupt(_Stopping())
