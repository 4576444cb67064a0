"""The AUTHORIZATION state: what a client may say before it is known (RFC 1939 section 4, 2595, 5034, 6856).

    protocol.feed(bytes)
    while (action := protocol.next_action()) is not None: ...

Actions are carried out by the shell.  After `CheckPassword`, `BeginExchange` and `ContinueExchange` nothing more is
read until the shell has called `challenge`, `refused` or `accepted`; after `StartTls` until `tls_started`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import ClassVar, TypeAlias

from pillarbox.lib.sasl.wire import (
    RESPONSE_LIMIT,
    SaslAborted,
    SaslSyntaxError,
    decode_initial,
    decode_response,
    encode,
)
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.capabilities import USUAL, Terms, capabilities
from pillarbox.pop3d.protocol.languages import lang
from pillarbox.pop3d.protocol.lines import COMMAND_LIMIT, LineReader, OverlongLine


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send `data`, then do the handshake and call `tls_started`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """USER and PASS: ask auth, then call `refused` or `accepted`."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BeginExchange:
    """AUTH: begin an exchange, then call `challenge`, `refused` or `accepted`."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContinueExchange:
    """The client's answer to a challenge."""

    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AbortExchange:
    """The client gave the exchange up; send `data` and forget the exchange."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Send `data` and end the connection."""

    data: bytes


Action: TypeAlias = Reply | StartTls | CheckPassword | BeginExchange | ContinueExchange | AbortExchange | Close


class State(Enum):
    """What the next input is."""

    COMMAND = auto()
    RESPONSE = auto()
    """A SASL response."""
    WAITING = auto()
    """Nothing: the shell is at work."""
    CLOSED = auto()


class Authorization:
    """One client before login.

    `mechanisms(tls_active)` gives the SASL mechanisms to offer; USER and PASS are offered where PLAIN is.  After
    `error_limit` refused lines the connection is ended: a client that does not speak POP3 should not go on.
    """

    def __init__(
        self,
        *,
        tls_available: bool,
        tls_active: bool,
        mechanisms: Callable[[bool], tuple[str, ...]],
        error_limit: int,
        terms: Terms = USUAL,
    ) -> None:
        self._tls_available = tls_available
        self.tls_active = tls_active
        self._mechanisms = mechanisms
        self._reader = LineReader()
        self._state = State.COMMAND
        self._username: str | None = None
        self._errors = 0
        self._error_limit = error_limit
        self._terms = terms
        self.utf8 = False
        """Whether the client has said UTF8: it gets headers in UTF-8 as they are (RFC 6856 section 2.1)."""

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._reader.feed(data)

    def next_action(self) -> Action | None:
        """What to do next; None when more input is needed or an answer of the shell is awaited."""
        if self._state in (State.WAITING, State.CLOSED):
            return None
        line = self._reader.next()
        if line is None:
            return None
        if isinstance(line, OverlongLine):
            if self._state is State.RESPONSE:
                self._expect_commands()
                return self._bad_exchange(replies.LINE_TOO_LONG)
            return self._error(replies.LINE_TOO_LONG)
        if self._state is State.RESPONSE:
            return self._response(line)
        verb, _, argument = line.partition(b" ")
        name = verb.upper().decode("ascii", "replace")
        handler = self._COMMANDS.get(name)
        if handler is None:
            return self._error(replies.WRONG_STATE if name in _LATER else replies.UNKNOWN_COMMAND)
        return handler(self, argument)

    # --- the shell's answers
    def challenge(self, data: bytes) -> bytes:
        """The exchange goes on; gives what to send."""
        self._state = State.RESPONSE
        # RFC 5034 section 4: the limit of command lines does not hold for responses.
        self._reader.limit = RESPONSE_LIMIT
        return replies.challenge(encode(data))

    def refused(self, reply: bytes, *, last: bool) -> Action:
        """The login failed; gives what to do: the reply, and the end where it was the `last` try."""
        self._expect_commands()
        self._username = None
        if last:
            self._state = State.CLOSED
            return Close(reply)
        return Reply(reply)

    def declined(self, reply: bytes) -> Action:
        """No login was tried (mechanism not offered, malformed message); gives what to do."""
        self._expect_commands()
        return self._error(reply)

    def accepted(self) -> bytes:
        """The client is known; gives what it has sent ahead, for the session part."""
        self._state = State.CLOSED
        return self._reader.take_rest()

    def tls_started(self) -> None:
        """The handshake is done.  Everything learned before is forgotten (RFC 2595 section 4)."""
        self._reader.take_rest()
        self.tls_active = True
        self._username = None
        self.utf8 = False
        self._expect_commands()

    def _clear_text_problem(self) -> bytes:
        """Why USER and PASS are not offered; empty where they are."""
        mechanisms = self._mechanisms(self.tls_active)
        if "PLAIN" in mechanisms:
            return b""
        if not self.tls_active:
            return replies.CLEAR_TEXT_REFUSED
        return replies.NO_MECHANISM if mechanisms else replies.AUTHENTICATION_UNAVAILABLE

    # --- commands
    def _capa(self, argument: bytes) -> Action:
        if argument:
            return self._error(replies.BAD_ARGUMENTS)
        lines = capabilities(
            self._terms,
            mechanisms=self._mechanisms(self.tls_active),
            user=not self._clear_text_problem(),
            stls=self._tls_available and not self.tls_active,
        )
        return Reply(replies.listing(replies.CAPABILITIES_FOLLOW, lines))

    def _user(self, argument: bytes) -> Action:
        if problem := self._clear_text_problem():
            return self._error(problem)
        name = _text(argument)
        if not name:
            return self._error(replies.BAD_ARGUMENTS)
        self._username = name
        return Reply(replies.USER_OK)

    def _pass(self, argument: bytes) -> Action:
        if problem := self._clear_text_problem():
            return self._error(problem)
        if self._username is None:
            return self._error(replies.NO_USER)
        # RFC 1939 section 7: blanks belong to the password.
        password = _text(argument)
        if not password:
            return self._error(replies.BAD_ARGUMENTS)
        self._state = State.WAITING
        return CheckPassword(self._username, password)

    def _auth(self, argument: bytes) -> Action:
        if not argument:
            # Not in RFC 5034, but what clients older than CAPA ask (RFC 1734's draft form).
            return Reply(replies.listing(replies.MECHANISMS_FOLLOW, list(self._mechanisms(self.tls_active))))
        words = argument.split(b" ")
        if len(words) > 2 or not words[0]:
            return self._error(replies.BAD_ARGUMENTS)
        initial = None
        if len(words) == 2:
            try:
                initial = decode_initial(words[1])
            except (SaslSyntaxError, SaslAborted):
                return self._error(replies.BAD_RESPONSE)
        self._state = State.WAITING
        return BeginExchange(words[0].decode("ascii", "replace"), initial)

    def _response(self, line: bytes) -> Action:
        self._expect_commands()
        try:
            response = decode_response(line)
        except SaslAborted:
            return AbortExchange(replies.AUTHENTICATION_ABORTED)
        except SaslSyntaxError:
            return self._bad_exchange(replies.BAD_RESPONSE)
        self._state = State.WAITING
        return ContinueExchange(response)

    def _stls(self, argument: bytes) -> Action:
        if argument:
            return self._error(replies.BAD_ARGUMENTS)
        if self.tls_active:
            return self._error(replies.TLS_ACTIVE)
        if not self._tls_available:
            return self._error(replies.TLS_UNAVAILABLE)
        self._reader.take_rest()
        self._state = State.WAITING
        return StartTls(replies.BEGIN_TLS)

    def _utf8(self, argument: bytes) -> Action:
        if argument:
            return self._error(replies.BAD_ARGUMENTS)
        self.utf8 = True
        return Reply(replies.UTF8_OK)

    def _lang(self, argument: bytes) -> Action:
        reply = lang(argument.strip(b" "))
        return self._error(replies.NO_LANGUAGE) if reply is None else Reply(reply)

    def _apop(self, argument: bytes) -> Action:
        return self._error(replies.APOP_REFUSED)

    def _quit(self, argument: bytes) -> Action:
        self._state = State.CLOSED
        return Close(replies.QUIT_UNAUTHENTICATED)

    _COMMANDS: ClassVar[dict[str, Callable[[Authorization, bytes], Action]]] = {
        "CAPA": _capa,
        "USER": _user,
        "PASS": _pass,
        "AUTH": _auth,
        "STLS": _stls,
        "UTF8": _utf8,
        "LANG": _lang,
        "APOP": _apop,
        "QUIT": _quit,
    }

    # --- errors
    def _error(self, reply: bytes) -> Action:
        self._errors += 1
        if self._errors >= self._error_limit:
            self._state = State.CLOSED
            return Close(replies.TOO_MANY_ERRORS)
        return Reply(reply)

    def _bad_exchange(self, reply: bytes) -> Action:
        """A response that is none ends the exchange, and counts as an error."""
        action = self._error(reply)
        return action if isinstance(action, Close) else AbortExchange(reply)

    def _expect_commands(self) -> None:
        self._state = State.COMMAND
        self._reader.limit = COMMAND_LIMIT


_LATER = frozenset(("STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL"))
"""Commands of the TRANSACTION state."""


def _text(argument: bytes) -> str:
    """A name or password as text; empty where it is no UTF-8 or holds NUL."""
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text
