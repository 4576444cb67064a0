"""What every exchange of this process shares: users, tokens, lock-outs, the threads that check passwords, secrets."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pillarbox.auth.checker import PasswordChecker
from pillarbox.auth.delay import LoginDelay
from pillarbox.auth.lockout import Attempt, LockoutRules, Lockouts
from pillarbox.auth.penalty import PenaltyTable, network
from pillarbox.auth.tokens import TokenTable
from pillarbox.auth.users import HostedUser, User, UserDirectory
from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountsUnavailable,
    AppPassword,
    BadCertificate,
)
from pillarbox.lib.accounts.certificates import normalize_fingerprint
from pillarbox.lib.clients.auth import ClientCertificate, Security
from pillarbox.lib.clients.oauth import AsyncOAuthClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import auth as parameters
from pillarbox.lib.config.parameters.oauth import OAUTH_INTROSPECTION_URL
from pillarbox.lib.config.parameters.pop3d import POP3_LOGIN_DELAY
from pillarbox.lib.log import log
from pillarbox.lib.sasl import ScramKeys
from pillarbox.lib.sasl.scram import DIGEST_SIZE, ITERATIONS, SALT_SIZE
from pillarbox.lib.smtp.networks import Networks

USE_PRECISION = 300.0
"""Seconds; an app password's last use is not written more often than this."""

NETWORK_PRECISION = 86400.0
"""Seconds; so for the networks of an account: each write is a sync of the disk."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking, as the protocol server says."""

    service: str
    address: str
    encrypted: bool
    security: Security


class Authority:
    """See the module.  Made after confinement; `clock` in seconds, monotonic."""

    def __init__(
        self,
        config: Config,
        users: UserDirectory,
        database: AccountDatabase,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.users = users
        self.tokens = TokenTable(clock)
        self.pop3_delay = LoginDelay(config[POP3_LOGIN_DELAY], clock)
        self.penalties = PenaltyTable(config[parameters.AUTH_FAILURE_DELAY], clock)
        self.lockouts = Lockouts(lockout_rules(config), clock)
        self.checker = PasswordChecker(config, clock)
        self.oauth = AsyncOAuthClient(config) if config[OAUTH_INTROSPECTION_URL] else None
        self._database = database
        self._salt_secret = database.secret()
        self._wall_clock = wall_clock
        self._allow_cleartext = config[parameters.AUTH_ALLOW_CLEARTEXT]
        self._certificate_mailboxes = config[parameters.AUTH_CERTIFICATE_MAILBOXES]
        self._failure_delay = config[parameters.AUTH_FAILURE_DELAY]

    def permits_clear_text(self, encrypted: bool, client_address: str) -> bool:
        """Whether a password may be sent as it is: under TLS, on this machine itself, or where configured."""
        return encrypted or self._allow_cleartext or is_loopback(client_address)

    # --- credentials
    def app_passwords(self, user: User | None) -> tuple[AppPassword, ...]:
        """All of a user."""
        return tuple(self._database.app_passwords.of(user.account.address)) if isinstance(user, HostedUser) else ()

    def scram_keys(self, user: User | None, name: str) -> ScramKeys:
        """The keys of the user's password; for nobody (or a system user) keys that look real and never match."""
        if isinstance(user, HostedUser):
            return user.row.scram
        salt = hmac.digest(self._salt_secret, self.users.spelling(name).encode("utf-8", "surrogateescape"), "sha256")[
            :SALT_SIZE
        ]
        return unmatchable(ScramKeys(salt, ITERATIONS, b"", b""))

    def scram_choices(
        self, user: User | None, name: str, service: str
    ) -> tuple[Sequence[ScramKeys], Sequence[AppPassword | None]]:
        """The keys that count for a service, and beside each the app password that it is of (None: the password).

        Never empty: where nothing counts, a key that nobody can match.
        """
        main = self.scram_keys(user, name)
        keys: list[ScramKeys] = []
        owners: list[AppPassword | None] = []
        if not isinstance(user, HostedUser) or password_counts(user, service):
            keys.append(main)
            owners.append(None)
        for one in self.app_passwords(user):
            if service in one.protocols and (one.scram.salt, one.scram.iterations) == (main.salt, main.iterations):
                keys.append(one.scram)
                owners.append(one)
        return (keys, owners) if keys else ([unmatchable(main)], [None])

    def certified(self, certificate: ClientCertificate | None, authzid: str) -> User | None:
        """Whom a client certificate stands for; where it names several, `authzid` chooses among them."""
        if certificate is None:
            return None
        names = []
        for fingerprint in (certificate.fingerprint, certificate.pubkey_fingerprint):
            try:
                owner = self._database.certificates.owner(normalize_fingerprint(fingerprint))
            except BadCertificate:
                continue
            if owner:
                names.append(owner)
        if not names and self._certificate_mailboxes and certificate.trusted:
            names = list(certificate.mailboxes)
        found = {user.account: user for name in names if (user := self.users.find(name)) is not None}
        if authzid:
            wanted = self.users.find(authzid)
            return found.get(wanted.account) if wanted is not None else None
        return next(iter(found.values())) if len(found) == 1 else None

    # --- failures and successes
    def attempt(self, client: Client, user: User | None, name: str, *, guessable: bool = True) -> Attempt:
        """A try at an account, for the lock-outs.

        An account's lock keeps nobody out who shows what cannot be guessed (a token): there is no need.
        """
        if user is None:
            return self.lockouts.attempt(client.address, self.users.spelling(name) if guessable else "", known=False)
        address = user.account.address
        known = self._database.known_networks.seen(address, network(client.address)) > 0
        return self.lockouts.attempt(client.address, address if known or guessable else "", known)

    async def failed(self, client: Client, attempt: Attempt | None, password: str = "") -> None:
        """Note wrong credentials, and hold the answer back."""
        counts = True
        if attempt is not None:
            counts, lines = self.lockouts.failed(attempt, password)
            for line in lines:
                log.warning(line)
        await asyncio.sleep(self.penalties.failed(client.address) if counts else self._failure_delay)

    async def hold_back(self) -> None:
        """Before a client is told that it is locked out."""
        await asyncio.sleep(self._failure_delay)

    def succeeded(self, client: Client, user: User, attempt: Attempt | None, app: AppPassword | None) -> None:
        """Note right credentials.  What cannot be written now is not worth a refusal."""
        now = self._wall_clock()
        if attempt is not None:
            self.lockouts.succeeded(attempt)
        try:
            address, place = user.account.address, network(client.address)
            if now - self._database.known_networks.seen(address, place) > NETWORK_PRECISION:
                self._database.known_networks.record(address, place)
            if app is not None and (now - app.used > USE_PRECISION or app.used_for != client.service):
                self._database.app_passwords.record_use(app.id, client.service, client.address)
        except AccountsUnavailable as error:
            log.warning(str(error))


def password_counts(user: HostedUser, service: str) -> bool:
    """Whether the account's own password is good for a service."""
    return not user.row.password_protocols or service in user.row.password_protocols


def unmatchable(keys: ScramKeys) -> ScramKeys:
    """The same salt and count with keys of no password."""
    return ScramKeys(keys.salt, keys.iterations, os.urandom(DIGEST_SIZE), os.urandom(DIGEST_SIZE))


def lockout_rules(config: Config) -> LockoutRules:
    """As configured."""
    exceptions = config[parameters.AUTH_LOCKOUT_EXCEPTIONS]
    return LockoutRules(
        network_limit=config[parameters.AUTH_LOCKOUT_ADDRESS_FAILURES],
        account_limit=config[parameters.AUTH_LOCKOUT_ACCOUNT_FAILURES],
        time=config[parameters.AUTH_LOCKOUT_TIME],
        most=config[parameters.AUTH_LOCKOUT_MAX_TIME],
        window=config[parameters.AUTH_LOCKOUT_WINDOW],
        exempt=Networks(exceptions),
    )


def is_loopback(address: str) -> bool:
    """Whether a client address is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
