"""Checks passwords in a few threads, so that the event loop never waits for a hash.

The functions that take long release the interpreter lock.  Hosted and system users have threads of their own: a PAM
module that hangs holds up no hosted account.  When too many checks are waiting the answer is "unavailable" at once.

How long a check takes says nothing about the user: it depends on the password's shape alone.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pillarbox.auth import pam, shadow
from pillarbox.auth.users import HostedUser, SystemUser, User
from pillarbox.auth.verdict import Verdict
from pillarbox.auth.verified import VerifiedPasswords
from pillarbox.lib.accounts import AppPassword
from pillarbox.lib.accounts.app_passwords import is_app_password
from pillarbox.lib.accounts.passwords import unmatchable_hash, verify_password
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_CACHE_TTL, AUTH_PAM_SERVICE, AUTH_SYSTEM_USERS, AUTH_THREADS
from pillarbox.lib.log import log
from pillarbox.lib.sasl.scram import ScramKeys, make_scram_keys

WAITING_LIMIT = 500
"""Checks that may wait: some ten seconds of work; a client waits no longer than that either."""

SYSTEM_THREADS = 4
"""For PAM and shadow, which wait more than they compute."""

T = TypeVar("T")


class _TooMany(Exception):
    """More checks wait than anyone would wait for."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check; `app_password` is the one that was given, None for the account's own password."""

    verdict: Verdict
    app_password: AppPassword | None = None


class PasswordChecker:
    """The threads and the memory of passwords that were right."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = config[AUTH_SYSTEM_USERS]
        self._pam_service = config[AUTH_PAM_SERVICE]
        self._verified = VerifiedPasswords(config[AUTH_CACHE_TTL], clock)
        self._hosted = ThreadPoolExecutor(config[AUTH_THREADS], "argon2")
        self._system = ThreadPoolExecutor(SYSTEM_THREADS, "system")
        self._waiting = 0

    async def check(
        self,
        user: User | None,
        password: str,
        client_address: str,
        service: str,
        *,
        app_passwords: Sequence[AppPassword],
        keys: ScramKeys,
    ) -> Checked:
        """Whether this is a password of the user for a service.  For nobody, `WRONG` after as long as for somebody.

        `app_passwords` are all of the user; `keys` name the salt and iteration count that they are made with.
        """
        try:
            if is_app_password(password):
                found = await self._find_app_password(password, app_passwords, keys)
                if found is not None and service in found.protocols:
                    return Checked(Verdict.RIGHT, found)
                if found is not None:
                    log.warning(f'app password "{found.name}" of {found.address} is not for {service}')
            match user:
                case HostedUser():
                    return Checked(await self._check_hosted(user, password, service))
                case SystemUser():
                    return Checked(
                        await self._run(self._system, self._check_system, user.name, password, client_address)
                    )
                case None:
                    await self._run(self._hosted, verify_password, password, unmatchable_hash())
                    return Checked(Verdict.WRONG)
        except _TooMany:
            return Checked(Verdict.UNAVAILABLE)

    async def _find_app_password(
        self, password: str, app_passwords: Sequence[AppPassword], keys: ScramKeys
    ) -> AppPassword | None:
        for one in app_passwords:
            if self._verified.knows(_place(one), password, one.scram.to_text()):
                return one
        derived = await self._run(self._hosted, make_scram_keys, password, keys.salt, keys.iterations)
        for one in app_passwords:
            if hmac.compare_digest(derived.stored_key, one.scram.stored_key):
                self._verified.remember(_place(one), password, one.scram.to_text())
                return one
        return None

    async def _check_hosted(self, user: HostedUser, password: str, service: str) -> Verdict:
        address, stored = user.account.address, user.row.password
        right = self._verified.knows(address, password, stored)
        if not right:
            right = await self._run(self._hosted, verify_password, password, stored)
            if right:
                self._verified.remember(address, password, stored)
        if right and user.row.password_protocols and service not in user.row.password_protocols:
            log.warning(f"the password of {address} is not for {service}: an app password is wanted")
            return Verdict.WRONG
        return Verdict.RIGHT if right else Verdict.WRONG

    def _check_system(self, name: str, password: str, client_address: str) -> Verdict:
        if self._backend == "pam":
            return pam.check(self._pam_service, name, password, client_address)
        return shadow.check(name, password)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= WAITING_LIMIT:
            raise _TooMany
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end; checks that wait are dropped."""
        self._hosted.shutdown(wait=False, cancel_futures=True)
        self._system.shutdown(wait=False, cancel_futures=True)


def _place(one: AppPassword) -> str:
    return f"{one.address} {one.id}"
