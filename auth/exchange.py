"""One SASL exchange: runs a mechanism and answers what it asks, until it wants the client again or is over."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.auth.checker import PasswordChecker
from pillarbox.auth.penalty import PenaltyTable
from pillarbox.auth.tokens import TokenTable
from pillarbox.auth.users import HostedUser, User, UserDirectory
from pillarbox.auth.verdict import Verdict
from pillarbox.lib.accounts import AccountsUnavailable, BadAddress, normalize_address
from pillarbox.lib.clients.auth import Challenge, Failure, Step, Success
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_ALLOW_CLEARTEXT, AUTH_FAILURE_DELAY
from pillarbox.lib.log import log
from pillarbox.lib.sasl import (
    Accepted,
    Event,
    FetchScramKeys,
    Rejected,
    ScramKeys,
    Send,
    ServerMechanism,
    VerifyPassword,
)
from pillarbox.lib.sasl.scram import DIGEST_SIZE, ITERATIONS, SALT_SIZE

SESSION_SERVICES = frozenset(("imap", "pop3", "sieve"))
"""Services with a session part, which redeems a token."""

FAILED = "authentication failed"
"""What a client is told of any wrong name, password or authorization identity: nothing more."""

UNAVAILABLE = Failure("temporary authentication failure", temporary=True, kind="temporary")


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking, as the protocol server says."""

    service: str
    address: str
    encrypted: bool


class Authority:
    """What every exchange of this process shares.  Made after confinement; `clock` in seconds, monotonic."""

    def __init__(
        self, config: Config, users: UserDirectory, salt_secret: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.users = users
        self.tokens = TokenTable(clock)
        self.penalties = PenaltyTable(config[AUTH_FAILURE_DELAY], clock)
        self.checker = PasswordChecker(config, clock)
        self._salt_secret = salt_secret
        self._allow_cleartext = config[AUTH_ALLOW_CLEARTEXT]

    def permits_clear_text(self, encrypted: bool, client_address: str) -> bool:
        """Whether a password may be sent as it is: under TLS, on this machine itself, or where configured."""
        return encrypted or self._allow_cleartext or is_loopback(client_address)

    def scram_keys(self, user: User | None, name: str) -> ScramKeys:
        """The user's keys; for nobody (or a system user) keys that look real and never match."""
        if isinstance(user, HostedUser):
            return user.row.scram
        try:
            name = normalize_address(name)
        except BadAddress:
            pass
        salt = hmac.digest(self._salt_secret, name.encode("utf-8", "surrogateescape"), "sha256")[:SALT_SIZE]
        return ScramKeys(salt, ITERATIONS, os.urandom(DIGEST_SIZE), os.urandom(DIGEST_SIZE))


class Exchange:
    """One exchange, from `begin` to a Success or Failure."""

    def __init__(self, authority: Authority, mechanism: ServerMechanism, client: Client, number: int) -> None:
        self._authority = authority
        self._mechanism = mechanism
        self._client = client
        self._number = number
        self._user: User | None = None

    async def begin(self, initial: bytes | None) -> Step:
        """Start, with the client's initial response if it sent one."""
        return await self._advance(lambda: self._mechanism.start(initial))

    async def receive(self, response: bytes) -> Step:
        """Go on with the client's answer to the last challenge."""
        return await self._advance(lambda: self._mechanism.receive(response))

    async def _advance(self, first: Callable[[], Event]) -> Step:
        try:
            event = first()
            while True:
                match event:
                    case Send():
                        return Challenge(event.data, self._number)
                    case VerifyPassword():
                        self._user = self._authority.users.find(event.username)
                        verdict = await self._authority.checker.check(self._user, event.password, self._client.address)
                        if verdict is Verdict.UNAVAILABLE:
                            return UNAVAILABLE
                        if verdict is Verdict.DISABLED:
                            return await self._refuse("account may not log in", "disabled", event.username)
                        event = self._mechanism.verified(verdict is Verdict.RIGHT)
                    case FetchScramKeys():
                        self._user = self._authority.users.find(event.username)
                        event = self._mechanism.keys(self._authority.scram_keys(self._user, event.username))
                    case Accepted():
                        return await self._accept(event)
                    case Rejected(kind="malformed"):
                        return Failure(event.reason, kind="malformed", username=event.username)
                    case Rejected():
                        return await self._refuse(event.reason, "credentials", event.username)
        except AccountsUnavailable as error:
            log.warning(str(error))
            return UNAVAILABLE

    async def _accept(self, event: Accepted) -> Step:
        user = self._user
        if user is None:
            raise AssertionError("a mechanism accepted nobody")
        if event.authzid:
            acting_for = self._authority.users.find(event.authzid)
            if acting_for is None or acting_for.account != user.account:
                return await self._refuse(FAILED, "credentials", event.username)
        token = ""
        if self._client.service in SESSION_SERVICES:
            token = self._authority.tokens.issue(self._client.service, user.account)
        return Success(user.account.address, token, self._mechanism.name)

    async def _refuse(self, reason: str, kind: str, username: str) -> Failure:
        await asyncio.sleep(self._authority.penalties.failed(self._client.address))
        return Failure(reason, kind="disabled" if kind == "disabled" else "credentials", username=username)


def is_loopback(address: str) -> bool:
    """Whether a client address is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
