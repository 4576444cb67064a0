"""Before login: CAPABILITY, STARTTLS, AUTHENTICATE, NOOP and LOGOUT (RFC 5804 section 2).

A command is a method found by a table; it writes its own answer.  After success the session part answers
AUTHENTICATE, when it has the scripts in reach.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, TypeAlias

from pillarbox.lib.clients.auth import Failure, FailureKind, Success
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME
from pillarbox.lib.config.parameters.login import LOGIN_MAX_BAD_COMMANDS
from pillarbox.lib.login import HandOverFailed, Login, LoginProtocol
from pillarbox.lib.sasl import (
    MECHANISMS,
    RESPONSE_LIMIT,
    SaslAborted,
    SaslSyntaxError,
    decode_initial,
    decode_response,
    encode,
)
from pillarbox.managesieved.protocol import replies
from pillarbox.managesieved.protocol.capabilities import Capabilities
from pillarbox.managesieved.protocol.grammar import BadCommand, parse, response
from pillarbox.managesieved.protocol.reader import BadLine, Event, LineReader

_CODES: Final[dict[FailureKind, str]] = {
    "privacy": "ENCRYPT-NEEDED",
    "temporary": "TRYLATER",
    "locked": "TRYLATER",
}
"""Response codes by kind of failure (RFC 5804 section 1.3)."""


class ManageSieveLogin(LoginProtocol):
    """See the module."""

    service = "sieve"
    name = "managesieve"
    timed_out = replies.IDLE_TOO_LONG
    stopping = replies.STOPPING

    def __init__(self, config: Config) -> None:
        self.ready = f"{config[MAIL_NAME]} ready."
        self.max_bad = config[LOGIN_MAX_BAD_COMMANDS]
        self.capabilities = Capabilities(config)

    async def talk(self, login: Login) -> None:
        await _Dialogue(self, login).talk()


class _Dialogue:
    """One client."""

    def __init__(self, server: ManageSieveLogin, login: Login) -> None:
        self._server = server
        self._login = login
        self._reader = LineReader(RESPONSE_LIMIT)
        self._bad = 0
        self._final: bytes | None = None
        self._done = False

    async def talk(self) -> None:
        """To login, or to the end."""
        await self._tell_capabilities(self._server.ready)
        while not self._done:
            await self._handle(await self._next())

    async def _next(self) -> Event:
        while (event := self._reader.next_event()) is None:
            self._reader.feed(await self._login.connection.read_some())
        return event

    async def _write(self, data: bytes) -> None:
        await self._login.connection.write(data)

    async def _handle(self, event: Event) -> None:
        try:
            if isinstance(event, BadLine):
                raise BadCommand(event.why)
            verb, arguments = parse(event)
            command = self._COMMANDS.get(verb)
            if command is None:
                raise BadCommand("log in first")
            await command(self, *arguments)
        except BadCommand as error:
            await self._wrong(str(error))

    async def _wrong(self, why: str) -> None:
        """NO, and the end after too many of them."""
        self._bad += 1
        if self._bad < self._server.max_bad:
            await self._write(replies.no(f"Error in command: {why}."))
            return
        self._login.reason = "Too many invalid commands"
        self._done = True
        await self._write(replies.TOO_MANY_ERRORS)

    async def _tell_capabilities(self, text: str) -> None:
        pairs = self._server.capabilities.before_login(
            await self._login.mechanisms(), tls_offered=self._login.tls_offered
        )
        await self._write(replies.capability(pairs) + replies.ok(text))

    # --- the commands
    async def _capability(self) -> None:
        await self._tell_capabilities("Capability completed.")

    async def _noop(self, tag: bytes | None = None) -> None:
        await self._write(replies.ok("Done.") if tag is None else replies.ok("Done.", "TAG", tag))

    async def _logout(self) -> None:
        self._done = True
        await self._write(replies.GOOD_BYE)

    async def _starttls(self) -> None:
        if self._login.encrypted:
            raise BadCommand("TLS is active already")
        if not self._login.tls_offered:
            raise BadCommand("TLS is not available")
        # What was sent behind the command was not protected and must not count as if it had been.
        self._reader.take_rest()
        await self._write(replies.ok("Begin TLS negotiation now."))
        await self._login.start_tls()
        await self._tell_capabilities("TLS negotiation successful.")

    async def _authenticate(self, mechanism: str, initial: bytes | None = None) -> None:
        self._final = None
        try:
            first = None if initial is None else decode_initial(initial)
        except SaslAborted:
            raise BadCommand("authentication aborted") from None
        except SaslSyntaxError as error:
            raise BadCommand(str(error)) from None
        scram = mechanism.upper().startswith("SCRAM-")

        async def ask(challenge: bytes) -> bytes:
            """A challenge of SASL and the client's response."""
            if scram and challenge.startswith(b"v="):
                # Additional data with success: it goes into the code SASL of the answer (section 1.3).
                self._final = challenge
                return b""
            await self._write(replies.string(encode(challenge)) + b"\r\n")
            event = await self._next()
            try:
                if isinstance(event, BadLine):
                    raise BadCommand(event.why)
                return decode_response(response(event))
            except BadCommand as error:
                raise SaslSyntaxError(str(error)) from None

        await self._conclude(await self._login.authenticate(mechanism, first, ask), mechanism)

    async def _conclude(self, result: Success | Failure, mechanism: str) -> None:
        login = self._login
        if isinstance(result, Success):
            extra = {} if self._final is None else {"sasl": base64.b64encode(self._final).decode("ascii")}
            try:
                await login.hand_over(result, extra, self._reader.take_rest())
            except HandOverFailed:
                login.reason = "Internal login failure"
                await self._write(replies.bye("Internal login failure, try again later.", "TRYLATER"))
            self._done = True
            return
        if result.kind == "malformed":
            raise BadCommand(result.reason)
        code = _CODES.get(result.kind, "")
        kind = MECHANISMS.get(mechanism.upper())
        if result.kind == "mechanism" and kind is not None and kind.clear_text:
            code = "AUTH-TOO-WEAK"  # the site has taken it off the list
        text = "Authentication failed." if result.kind == "credentials" else f"{result.reason}."
        if login.too_many_failures:
            login.reason = "Too many failed logins"
            self._done = True
            await self._write(replies.bye(text, code))
            return
        await self._write(replies.no(text, code))

    _Method: TypeAlias = "Callable[..., Awaitable[None]]"
    _COMMANDS: ClassVar[dict[str, _Method]] = {
        "CAPABILITY": _capability,
        "NOOP": _noop,
        "LOGOUT": _logout,
        "STARTTLS": _starttls,
        "AUTHENTICATE": _authenticate,
    }
