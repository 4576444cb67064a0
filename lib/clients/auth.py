"""The clients of the authentication service: check credentials, redeem login tokens, ask for accounts.

`AsyncAuthClient` serves event-driven programs (smtpd and the login parts of imapd and pop3d): one persistent connection
carries any number of exchanges at once, each request with a tag, so that a slow password check holds up nobody else.
`AuthClient` is the same for blocking programs (lookup, the session parts).

    step = await auth.begin("smtp", "PLAIN", initial, client_address="192.0.2.1", encrypted=True)
    while isinstance(step, Challenge):
        step = await auth.continue_(step, response_from_client)     # or auth.abort(step) on "*"
    match step:
        case Success(): ...      # step.username, step.token
        case Failure(): ...      # step.temporary -> 4xx, else step.reason

All data here is raw bytes; base64, the `*` of an abort and the line limits belong to the protocols and are read by
`pillarbox.lib.sasl.wire`.  No password hash ever passes through these clients.

An exchange lives on the connection that began it.  When the service restarts in the middle of one, `continue_` raises
`ServiceUnavailable`, to be answered with a temporary failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools

from pillarbox.lib.clients.auth_messages import (
    NO_SECURITY,
    Account,
    Challenge,
    ClientCertificate,
    Failure,
    FailureKind,
    Request,
    Security,
    Step,
    Success,
    decode_account,
    decode_step,
    encode_data,
    encode_security,
)
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import NoAnswer, TaggedConnection
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError

__all__ = [
    "NO_SECURITY",
    "Account",
    "AsyncAuthClient",
    "AuthClient",
    "Challenge",
    "ClientCertificate",
    "Failure",
    "FailureKind",
    "Security",
    "Step",
    "Success",
]

SERVICE = "auth"

ANSWER_TIMEOUT = 60.0
"""Seconds to wait for an answer: a PAM module that asks a far server, behind a queue of password checks."""


def plain_message(username: str, password: str) -> bytes | None:
    """The message of SASL PLAIN (RFC 4616) for a plain-text login; None where no PLAIN message can say it."""
    if not username or not password or "\0" in username or "\0" in password:
        return None
    return f"\0{username}\0{password}".encode("utf-8", "surrogateescape")


def _mechanisms(encrypted: bool, client_address: str, security: Security) -> Request:
    return {
        "do": "mechanisms",
        "encrypted": encrypted,
        "client_address": client_address,
        "binding": bool(security.bindings),
        "certificate": security.certificate is not None,
    }


def _begin(
    service: str, mechanism: str, initial: bytes | None, exchange: int, client: Request, security: Security
) -> Request:
    request: Request = {"do": "begin", "service": service, "mechanism": mechanism, "exchange": exchange, **client}
    request.update(encode_security(security))
    if initial is not None:
        request["initial"] = encode_data(initial)
    return request


_UNSPEAKABLE = Failure("authentication failed", kind="credentials")


class AuthClient:
    """Blocking client of the auth service; methods raise `ServiceUnavailable`.  For one thread."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)
        self._channel: Channel | None = None
        self._exchanges = itertools.count(1)

    def _call(self, request: Request, *, again: bool = True) -> Attributes:
        fresh = self._channel is None
        try:
            if self._channel is None:
                self._channel = Channel.connect(self._path, ANSWER_TIMEOUT)
            reply = self._channel.call({**request, "tag": 0})
            return _checked(reply)
        except (ChannelClosed, ProtocolError) as error:
            self.close()
            if again and not fresh:
                return self._call(request)
            raise ServiceUnavailable(f"auth service: {error}") from None

    def mechanisms(
        self, encrypted: bool, client_address: str = "", security: Security = NO_SECURITY
    ) -> tuple[str, ...]:
        """The mechanisms to advertise, strongest first; clear-text ones only where the password is safe."""
        return self._call(_mechanisms(encrypted, client_address, security)).texts("mechanisms")

    def begin(
        self,
        service: str,
        mechanism: str,
        initial: bytes | None,
        *,
        client_address: str,
        encrypted: bool,
        local_address: str = "",
        security: Security = NO_SECURITY,
    ) -> Step:
        """Start an exchange; `service` is "smtp", "imap", "pop3" or "sieve", `initial` the initial response if any."""
        exchange = next(self._exchanges)
        client: Request = {"client_address": client_address, "encrypted": encrypted, "local_address": local_address}
        request = _begin(service, mechanism, initial, exchange, client, security)
        return decode_step(self._call(request), exchange)

    def continue_(self, challenge: Challenge, response: bytes) -> Step:
        """Give the client's response to a challenge."""
        request: Request = {"do": "continue", "exchange": challenge.exchange, "response": encode_data(response)}
        return decode_step(self._call(request, again=False), challenge.exchange)

    def abort(self, challenge: Challenge) -> None:
        """Give an exchange up: the client said `*` or went away."""
        with contextlib.suppress(ServiceUnavailable):
            self._call({"do": "abort", "exchange": challenge.exchange}, again=False)

    def login(self, service: str, username: str, password: str, *, client_address: str, encrypted: bool) -> Step:
        """Check a plain password (IMAP LOGIN, POP3 USER and PASS): an exchange of PLAIN in one step."""
        message = plain_message(username, password)
        if message is None:
            return _UNSPEAKABLE
        return self.begin(service, "PLAIN", message, client_address=client_address, encrypted=encrypted)

    def redeem(self, token: str, service: str) -> Account | None:
        """Turn a one-time token into its account; None when it is unknown, used, too old or of another service."""
        return decode_account(self._call({"do": "redeem", "token": token, "service": service}, again=False))

    def account(self, address: str) -> Account | None:
        """The account of an address or login name, without any password; None when there is none."""
        return decode_account(self._call({"do": "account", "address": address}))

    def domain(self, domain: str) -> bool:
        """Whether the database has accounts in `domain`."""
        return self._call({"do": "domain", "domain": domain}).boolean("found")

    def domains(self, after: str = "") -> tuple[str, ...]:
        """The domains that have accounts, in order: the first ones behind `after`; empty at the end of the list."""
        return self._call({"do": "domains", "after": after}).texts("domains")

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _checked(reply: Attributes) -> Attributes:
    if not reply.boolean("ok"):
        raise ServiceUnavailable(f"auth service: {reply.text('why')}")
    return reply


class AsyncAuthClient:
    """The same with coroutines (`abort` and `close` are plain methods); any number of calls may run at once."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)
        self._connection: TaggedConnection | None = None
        self._connecting = asyncio.Lock()
        self._exchanges = itertools.count(1)
        self._aborts: set[asyncio.Task[Attributes]] = set()

    async def _call(self, request: Request, *, again: bool = True) -> Attributes:
        fresh = False
        try:
            async with self._connecting:
                if self._connection is None or self._connection.broken:
                    fresh = True
                    self._connection = TaggedConnection(
                        await AsyncChannel.connect(self._path, ANSWER_TIMEOUT), ANSWER_TIMEOUT
                    )
                connection = self._connection
            return _checked(await connection.ask(request))
        except (ChannelClosed, ProtocolError, NoAnswer) as error:
            if again and not fresh and not isinstance(error, NoAnswer):
                return await self._call(request, again=False)
            raise ServiceUnavailable(f"auth service: {error}") from None

    async def mechanisms(
        self, encrypted: bool, client_address: str = "", security: Security = NO_SECURITY
    ) -> tuple[str, ...]:
        """See `AuthClient.mechanisms`; so for every method here."""
        return (await self._call(_mechanisms(encrypted, client_address, security))).texts("mechanisms")

    async def begin(
        self,
        service: str,
        mechanism: str,
        initial: bytes | None,
        *,
        client_address: str,
        encrypted: bool,
        local_address: str = "",
        security: Security = NO_SECURITY,
    ) -> Step:
        exchange = next(self._exchanges)
        client: Request = {"client_address": client_address, "encrypted": encrypted, "local_address": local_address}
        request = _begin(service, mechanism, initial, exchange, client, security)
        try:
            return decode_step(await self._call(request), exchange)
        except asyncio.CancelledError:
            self._abandon(exchange)  # the client went while the service was at work; nobody will answer a challenge
            raise

    async def continue_(self, challenge: Challenge, response: bytes) -> Step:
        request: Request = {"do": "continue", "exchange": challenge.exchange, "response": encode_data(response)}
        try:
            return decode_step(await self._call(request, again=False), challenge.exchange)
        except asyncio.CancelledError:
            self._abandon(challenge.exchange)
            raise

    def abort(self, challenge: Challenge) -> None:
        self._abandon(challenge.exchange)

    def _abandon(self, exchange: int) -> None:
        request: Request = {"do": "abort", "exchange": exchange}
        task = asyncio.get_running_loop().create_task(self._call(request, again=False))
        self._aborts.add(task)
        task.add_done_callback(self._aborted)

    def _aborted(self, task: asyncio.Task[Attributes]) -> None:
        self._aborts.discard(task)
        if not task.cancelled():
            task.exception()  # a service that is gone has forgotten the exchange as well

    async def login(self, service: str, username: str, password: str, *, client_address: str, encrypted: bool) -> Step:
        message = plain_message(username, password)
        if message is None:
            return _UNSPEAKABLE
        return await self.begin(service, "PLAIN", message, client_address=client_address, encrypted=encrypted)

    async def redeem(self, token: str, service: str) -> Account | None:
        return decode_account(await self._call({"do": "redeem", "token": token, "service": service}, again=False))

    async def account(self, address: str) -> Account | None:
        return decode_account(await self._call({"do": "account", "address": address}))

    async def domain(self, domain: str) -> bool:
        return (await self._call({"do": "domain", "domain": domain})).boolean("found")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.fail(ChannelClosed("the client was closed"))
            self._connection = None
