"""The state "not authenticated" (RFC 9051 section 6.2): CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN, AUTHENTICATE.

A command is a method found by a table; it writes its own answer.  After success the session part answers the login
command itself, with its capabilities.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeAlias

from pillarbox.imapd.commands.id import SERVER, parse_parameters
from pillarbox.imapd.commands.language import LANGUAGES, choose, language_line, parse_ranges
from pillarbox.imapd.protocol import reader as wire
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.capabilities import login_capabilities
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.reader import CommandReader, LiteralOffer, TooLong
from pillarbox.lib.clients.auth import Failure, Success
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME
from pillarbox.lib.config.parameters.login import LOGIN_MAX_BAD_COMMANDS
from pillarbox.lib.login import ClientGone, HandOverFailed, Login, LoginProtocol
from pillarbox.lib.sasl import RESPONSE_LIMIT, SaslAborted, SaslSyntaxError, decode_initial, decode_response, encode

LINE_LIMIT = 16 * 1024
"""Octets of a line before login: an initial response of SASL fits (12,288 octets, RFC 4954 section 4)."""

LITERAL_LIMIT = 4096
"""Octets of a literal before login: a user name or a password."""

_CODES = {
    "credentials": "AUTHENTICATIONFAILED",
    "privacy": "PRIVACYREQUIRED",
    "disabled": "CONTACTADMIN",
    "temporary": "UNAVAILABLE",
    "locked": "UNAVAILABLE",
    "mechanism": "CANNOT",
}
"""Response codes by kind of failure (RFC 5530)."""


class ImapLogin(LoginProtocol):
    """See the module."""

    service = "imap"
    timed_out = response.status(b"*", b"BYE", "Disconnected for inactivity.")
    stopping = response.status(b"*", b"BYE", "Server shutting down.")

    def __init__(self, config: Config) -> None:
        self._config = config

    async def talk(self, login: Login) -> None:
        await _Dialogue(login, self._config).talk()


class _Dialogue:
    """One client."""

    def __init__(self, login: Login, config: Config) -> None:
        self._login = login
        self._connection = login.connection
        self._reader = CommandReader(LINE_LIMIT)
        self._config = config
        self._name = config[MAIL_NAME]
        self._max_bad = config[LOGIN_MAX_BAD_COMMANDS]
        self._bad = 0
        self._done = False

    async def talk(self) -> None:
        """To login, or to the end."""
        capabilities = await self._capabilities()
        await self._write(response.status(b"*", b"OK", f"{self._name} ready.", f"CAPABILITY {capabilities}"))
        while not self._done:
            await self._handle(await self._next())

    async def _next(self) -> wire.Event:
        while (event := self._reader.next_event()) is None:
            self._reader.feed(await self._connection.read_some())
        return event

    async def _handle(self, event: wire.Event) -> None:
        match event:
            case wire.Command():
                if event.data.strip():
                    await self._command(event.data)
            case LiteralOffer():
                if event.size > LITERAL_LIMIT or self._reader.refusal(event):
                    self._reader.refuse()
                    await self._wrong(_tag_of(event.command), "Literal too long.")
                    return
                self._reader.accept()
                if event.wait:
                    await self._write(response.continuation(b"OK"))
            case TooLong():
                await self._wrong(_tag_of(event.start), "Command line too long.")
            case _:
                raise AssertionError("no literal is streamed before login")

    async def _command(self, data: bytes) -> None:
        cursor = Cursor(data)
        tag = b"*"
        try:
            tag = cursor.tag()
            cursor.space()
            command = self._COMMANDS.get(cursor.word())
            if command is None:
                raise BadSyntax("Unknown command, or one that needs a login first.")
            await command(self, tag, cursor)
        except BadSyntax as error:
            await self._wrong(tag, f"Error in IMAP command: {error}")

    async def _write(self, data: bytes) -> None:
        await self._connection.write(data)

    async def _answer(self, tag: bytes, condition: bytes, text: str, code: str = "") -> None:
        await self._write(response.status(tag, condition, text, code))

    async def _wrong(self, tag: bytes, text: str) -> None:
        """BAD, and the end after too many of them."""
        self._bad += 1
        answer = response.status(tag, b"BAD", text)
        if self._bad >= self._max_bad:
            answer += response.status(b"*", b"BYE", "Too many invalid IMAP commands.")
            self._login.reason = "Too many invalid commands"
            self._done = True
        await self._write(answer)

    async def _capabilities(self) -> str:
        mechanisms = await self._login.mechanisms()
        return login_capabilities(self._config, tls_offered=self._login.tls_offered, mechanisms=mechanisms)

    # --- the commands
    async def _capability(self, tag: bytes, cursor: Cursor) -> None:
        cursor.end()
        capabilities = await self._capabilities()
        await self._write(
            response.untagged(b"CAPABILITY", capabilities.encode("ascii"))
            + response.status(tag, b"OK", "Capability completed.")
        )

    async def _noop(self, tag: bytes, cursor: Cursor) -> None:
        cursor.end()
        await self._answer(tag, b"OK", "NOOP completed.")

    async def _id(self, tag: bytes, cursor: Cursor) -> None:
        parse_parameters(cursor)
        await self._write(SERVER + response.status(tag, b"OK", "ID completed."))

    async def _language(self, tag: bytes, cursor: Cursor) -> None:
        ranges = parse_ranges(cursor)
        try:
            languages = (choose(ranges),) if ranges else LANGUAGES
        except CommandFailed as error:
            await self._answer(tag, b"NO", error.text)
            return
        await self._write(language_line(languages) + response.status(tag, b"OK", "Language completed."))

    async def _logout(self, tag: bytes, cursor: Cursor) -> None:
        cursor.end()
        self._done = True
        await self._write(
            response.status(b"*", b"BYE", "Logging out") + response.status(tag, b"OK", "Logout completed.")
        )

    async def _starttls(self, tag: bytes, cursor: Cursor) -> None:
        cursor.end()
        if self._login.encrypted:
            raise BadSyntax("TLS is active already.")
        if not self._login.tls_offered:
            raise BadSyntax("TLS is not available.")
        # What was sent behind the command was not protected and must not count as if it had been.
        self._reader.take_rest()
        await self._answer(tag, b"OK", "Begin TLS negotiation now.")
        await self._login.start_tls()

    async def _login_command(self, tag: bytes, cursor: Cursor) -> None:
        cursor.space()
        username = cursor.astring()
        cursor.space()
        password = cursor.astring()
        cursor.end()
        mechanisms = await self._login.mechanisms()
        if "PLAIN" not in mechanisms and "LOGIN" not in mechanisms and not self._login.encrypted:
            await self._answer(
                tag, b"NO", "Plaintext authentication disallowed on non-secure connections.", "PRIVACYREQUIRED"
            )
            return
        result = await self._login.login(_text(username), _text(password))
        await self._conclude(tag, result)

    async def _authenticate(self, tag: bytes, cursor: Cursor) -> None:
        cursor.space()
        mechanism = cursor.word().decode("ascii")
        initial: bytes | None = None
        if not cursor.at_end:
            cursor.space()
            try:
                initial = decode_initial(cursor.data[cursor.position :].strip(b" "))
            except SaslAborted:
                raise BadSyntax("authentication aborted") from None
            except SaslSyntaxError as error:
                raise BadSyntax(str(error)) from None
        self._reader.lines_only = True
        try:
            result = await self._login.authenticate(mechanism, initial, self._ask)
        finally:
            self._reader.lines_only = False
        await self._conclude(tag, result)

    async def _ask(self, challenge: bytes) -> bytes:
        """A challenge of SASL and the client's response (rules continue-req and authenticate)."""
        await self._write(response.continuation(encode(challenge)))
        event = await self._next()
        if not isinstance(event, wire.Command) or len(event.data) > RESPONSE_LIMIT:
            raise SaslSyntaxError("response too long")
        return decode_response(event.data)

    async def _conclude(self, tag: bytes, result: Success | Failure) -> None:
        if isinstance(result, Success):
            try:
                await self._login.hand_over(result, {"tag": tag.decode("ascii")}, self._reader.take_rest())
            except HandOverFailed:
                await self._answer(tag, b"NO", "Internal login failure, try again later.", "UNAVAILABLE")
                raise ClientGone("internal login failure") from None
            self._done = True
            return
        if result.kind == "malformed":
            raise BadSyntax(result.reason)
        text = "Authentication failed." if result.kind == "credentials" else result.reason
        answer = response.status(tag, b"NO", text, _CODES.get(result.kind, ""))
        if self._login.too_many_failures:
            answer += response.status(b"*", b"BYE", "Too many failed logins.")
            self._login.reason = "Too many failed logins"
            self._done = True
        await self._write(answer)

    _Method: TypeAlias = "Callable[[_Dialogue, bytes, Cursor], Awaitable[None]]"
    _COMMANDS: ClassVar[dict[bytes, _Method]] = {
        b"CAPABILITY": _capability,
        b"NOOP": _noop,
        b"ID": _id,
        b"LANGUAGE": _language,
        b"LOGOUT": _logout,
        b"STARTTLS": _starttls,
        b"LOGIN": _login_command,
        b"AUTHENTICATE": _authenticate,
    }


def _text(octets: bytes) -> str:
    """A name or password: UTF-8, other octets survive as they are."""
    return octets.decode("utf-8", "surrogateescape")


def _tag_of(data: bytes) -> bytes:
    try:
        return Cursor(data).tag()
    except BadSyntax:
        return b"*"
