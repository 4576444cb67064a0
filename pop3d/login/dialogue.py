"""The dialogue before login: carries out what the AUTHORIZATION state asks for, on a connection of the login front."""

from __future__ import annotations

from pillarbox.lib.clients.auth import Failure, FailureKind, Success
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME, MYHOSTNAME
from pillarbox.lib.config.parameters.login import LOGIN_MAX_BAD_COMMANDS
from pillarbox.lib.login import HandOverFailed, Login, LoginProtocol
from pillarbox.lib.sasl import SaslAborted
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.authorization import (
    AbortExchange,
    Action,
    Authorization,
    BeginExchange,
    CheckPassword,
    Close,
    ContinueExchange,
    Reply,
    StartTls,
)
from pillarbox.pop3d.protocol.capabilities import Terms, terms_of

_REPLIES: dict[FailureKind, bytes] = {
    "credentials": replies.AUTHENTICATION_FAILED,
    "malformed": replies.BAD_RESPONSE,
    "mechanism": replies.NO_MECHANISM,
    "privacy": replies.CLEAR_TEXT_REFUSED,
    "disabled": replies.ACCOUNT_DISABLED,
    "temporary": replies.AUTHENTICATION_UNAVAILABLE,
    "locked": replies.LOCKED_OUT,
    "delay": replies.LOGIN_DELAYED,
}


class Pop3Login(LoginProtocol):
    """POP3's dialogue, for `LoginFront`."""

    service = "pop3"
    timed_out = replies.IDLE_TOO_LONG
    stopping = replies.STOPPING

    def __init__(self, config: Config) -> None:
        self._greeting = replies.greeting(config[MAIL_NAME], config[MYHOSTNAME])
        self._error_limit = config[LOGIN_MAX_BAD_COMMANDS]
        self._terms = terms_of(config)

    async def talk(self, login: Login) -> None:
        """Greet the client and speak with it until it is handed over or gone.  ClientGone may be let out."""
        await _Dialogue(login, self._error_limit, self._terms).run(self._greeting)


class _Dialogue:
    def __init__(self, login: Login, error_limit: int, terms: Terms) -> None:
        self._login = login
        self._mechanisms: tuple[str, ...] = ()
        self._machine = Authorization(
            tls_available=login.tls_offered or login.encrypted,
            tls_active=login.encrypted,
            mechanisms=lambda _: self._mechanisms,
            error_limit=error_limit,
            terms=terms,
        )

    async def run(self, greeting: bytes) -> None:
        login, machine = self._login, self._machine
        self._mechanisms = await login.mechanisms()
        await login.connection.write(greeting)
        while True:
            action: Action | None = await self._next_action()
            match action:
                case CheckPassword():
                    action = await self._conclude(await login.login(action.username, action.password))
                case BeginExchange():
                    action = await self._authenticate(action)
                case StartTls():
                    await login.connection.write(action.data)
                    await login.start_tls()
                    machine.tls_started()
                    self._mechanisms = await login.mechanisms()
                    continue
            if action is None:
                return
            assert isinstance(action, (Reply, AbortExchange, Close))
            await login.connection.write(action.data)
            if isinstance(action, Close):
                if action.data is replies.TOO_MANY_ERRORS:
                    login.reason = "Too many bad commands"
                return

    async def _next_action(self) -> Action:
        while (action := self._machine.next_action()) is None:
            self._machine.feed(await self._login.connection.read_some())
        return action

    async def _authenticate(self, begin: BeginExchange) -> Action | None:
        broken_off: list[Action] = []

        async def ask(challenge: bytes) -> bytes:
            """Send a challenge and wait for the client's response."""
            await self._login.connection.write(self._machine.challenge(challenge))
            action = await self._next_action()
            if isinstance(action, ContinueExchange):
                return action.response
            broken_off.append(action)
            raise SaslAborted

        step = await self._login.authenticate(begin.mechanism, begin.initial, ask)
        return broken_off[0] if broken_off else await self._conclude(step)

    async def _conclude(self, step: Success | Failure) -> Action | None:
        """After a login: hand the client over (None), or say what was wrong."""
        login, machine = self._login, self._machine
        if isinstance(step, Failure):
            if step.kind in ("mechanism", "privacy", "malformed"):
                return machine.declined(_REPLIES[step.kind])
            return machine.refused(_REPLIES[step.kind], last=login.too_many_failures)
        try:
            # The session part answers the client: only there it is known whether the mailbox can be opened.
            await login.hand_over(step, {"utf8": "yes"} if machine.utf8 else {}, machine.accepted())
        except HandOverFailed:
            login.reason = "Internal login failure"
            return Close(replies.SESSION_UNAVAILABLE)
        return None
