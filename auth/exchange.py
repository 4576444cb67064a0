"""One SASL exchange: runs a mechanism and answers what it asks, until it wants the client again or is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pillarbox.auth.authority import Authority, Client
from pillarbox.auth.lockout import Attempt
from pillarbox.auth.users import User
from pillarbox.auth.verdict import Verdict
from pillarbox.lib.accounts import AccountsUnavailable, AppPassword
from pillarbox.lib.clients.auth import Challenge, Failure, Step, Success
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.log import log
from pillarbox.lib.sasl import (
    Accepted,
    Event,
    FetchScramKeys,
    Rejected,
    Send,
    ServerMechanism,
    TokenVerdict,
    VerifyCertificate,
    VerifyPassword,
    VerifyToken,
)

SESSION_SERVICES = frozenset(("imap", "pop3", "sieve"))
"""Services with a session part, which redeems a token."""

FAILED = "authentication failed"
"""What a client is told of any wrong name, password or authorization identity: nothing more."""

UNAVAILABLE = Failure("temporary authentication failure", temporary=True, kind="temporary")
TOO_SOON = "the last login was just now, try again later"
LOCKED = "too many failed logins, try again later"


class _LockedOut(Exception):
    """Nothing is checked for this client now."""

    def __init__(self, username: str) -> None:
        super().__init__(username)
        self.username = username


class Exchange:
    """One exchange, from `begin` to a Success or Failure."""

    def __init__(self, authority: Authority, mechanism: ServerMechanism, client: Client, number: int) -> None:
        self._authority = authority
        self._mechanism = mechanism
        self._client = client
        self._number = number
        self._user: User | None = None
        self._username = ""
        self._attempt: Attempt | None = None
        self._password = ""
        self._app_passwords: Sequence[AppPassword | None] = (None,)

    async def begin(self, initial: bytes | None) -> Step:
        """Start, with the client's initial response if it sent one."""
        return await self._advance(lambda: self._mechanism.start(initial))

    async def receive(self, response: bytes) -> Step:
        """Go on with the client's answer to the last challenge."""
        return await self._advance(lambda: self._mechanism.receive(response))

    async def _advance(self, first: Callable[[], Event]) -> Step:
        try:
            self._check_lock()  # a proof is checked in `first`, and others may have failed since the exchange began
            event = first()
            while True:
                match event:
                    case Send():
                        return Challenge(event.data, self._number)
                    case Accepted():
                        return await self._accept(event)
                    case Rejected(kind="malformed"):
                        return Failure(event.reason, kind="malformed", username=event.username)
                    case Rejected():
                        return await self._refuse(event.reason, event.username)
                    case _:
                        answer = await self._answer(event)
                        if isinstance(answer, Failure):
                            return answer
                        event = answer
        except _LockedOut as error:
            await self._authority.hold_back()
            return Failure(LOCKED, temporary=True, kind="locked", username=error.username)
        except AccountsUnavailable as error:
            log.warning(str(error))
            return UNAVAILABLE

    async def _answer(
        self, event: VerifyPassword | FetchScramKeys | VerifyToken | VerifyCertificate
    ) -> Event | Failure:
        """What the mechanism asks, told to it: gives what it says next; or the end of the exchange."""
        authority, mechanism = self._authority, self._mechanism
        match event:
            case VerifyPassword():
                self._find(event.username)
                return await self._check_password(event)
            case FetchScramKeys():
                self._find(event.username)
                keys, self._app_passwords = authority.scram_choices(self._user, event.username, self._client.service)
                return mechanism.keys(keys)
            case VerifyToken():
                self._find(event.username, guessable=False)
                return await self._check_token(event)
            case VerifyCertificate():
                self._user = authority.certified(self._client.security.certificate, event.authzid)
                return mechanism.certified(self._user.account.address if self._user is not None else "")

    def _find(self, username: str, *, guessable: bool = True) -> None:
        """The user that the client claims to be, unless the lock-outs keep it from trying."""
        self._username = username
        self._user = self._authority.users.find(username) if username else None
        self._attempt = self._authority.attempt(self._client, self._user, username, guessable=guessable)
        self._check_lock()

    def _check_lock(self) -> None:
        if self._attempt is not None and self._authority.lockouts.wait(self._attempt):
            raise _LockedOut(self._username)

    async def _check_password(self, event: VerifyPassword) -> Event | Failure:
        authority, attempt = self._authority, self._attempt
        assert attempt is not None
        self._password = event.password
        authority.lockouts.begin(attempt)
        try:
            checked = await authority.checker.check(
                self._user,
                event.password,
                self._client.address,
                self._client.service,
                app_passwords=authority.app_passwords(self._user),
                keys=authority.scram_keys(self._user, event.username),
            )
        finally:
            authority.lockouts.end(attempt)
        if checked.verdict is Verdict.UNAVAILABLE:
            return UNAVAILABLE
        if checked.verdict is Verdict.DISABLED:
            return await self._refuse("account may not log in", event.username, disabled=True)
        self._app_passwords = (checked.app_password,)
        return self._mechanism.verified(checked.verdict is Verdict.RIGHT)

    async def _check_token(self, event: VerifyToken) -> Event | Failure:
        oauth, mechanism = self._authority.oauth, self._mechanism
        self._password = event.token
        if oauth is None:
            return UNAVAILABLE
        try:
            answer = await oauth.introspect(event.token)
        except ServiceUnavailable as error:
            log.warning(error.reason)
            return UNAVAILABLE
        owner = self._authority.users.find(answer.username) if answer.username else None
        status = answer.status
        if not status and (owner is None or (event.username and self._user != owner)):
            log.warning(
                f'a token of "{answer.username}" is not one of an account here, or of another than it is shown for'
            )
            status = "invalid_token"
        if status:
            self._username = event.username or answer.username
            return mechanism.token_verified(TokenVerdict("", status, answer.scope, answer.configuration))
        assert owner is not None
        self._user = owner
        return mechanism.token_verified(TokenVerdict(owner.account.address))

    async def _accept(self, event: Accepted) -> Step:
        user = self._user
        if user is None:
            raise AssertionError("a mechanism accepted nobody")
        if event.authzid:
            acting_for = self._authority.users.find(event.authzid)
            if acting_for is None or acting_for.account != user.account:
                return await self._refuse(FAILED, event.username)
        self._authority.succeeded(self._client, user, self._attempt, self._app_passwords[event.key])
        token = ""
        if self._client.service == "pop3" and not self._authority.pop3_delay.permits(user.account.address):
            return Failure(TOO_SOON, temporary=True, kind="delay", username=user.account.address)
        if self._client.service in SESSION_SERVICES:
            token = self._authority.tokens.issue(self._client.service, user.account)
        return Success(user.account.address, token, self._mechanism.name)

    async def _refuse(self, reason: str, username: str, *, disabled: bool = False) -> Failure:
        await self._authority.failed(self._client, self._attempt, self._password)
        return Failure(reason, kind="disabled" if disabled else "credentials", username=username or self._username)
