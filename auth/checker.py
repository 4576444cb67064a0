"""Checks passwords in a few threads, so that the event loop never waits for a hash.

The functions that take long release the interpreter lock.  Hosted and system users have threads of their own: a PAM
module that hangs holds up no hosted account.  When too many checks are waiting the answer is "unavailable" at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pillarbox.auth import pam, shadow
from pillarbox.auth.users import HostedUser, SystemUser, User
from pillarbox.auth.verdict import Verdict
from pillarbox.auth.verified import VerifiedPasswords
from pillarbox.lib.accounts.passwords import unmatchable_hash, verify_password
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_CACHE_TTL, AUTH_PAM_SERVICE, AUTH_SYSTEM_USERS, AUTH_THREADS

WAITING_LIMIT = 500
"""Checks that may wait: some ten seconds of work; a client waits no longer than that either."""

SYSTEM_THREADS = 4
"""For PAM and shadow, which wait more than they compute."""


class PasswordChecker:
    """The threads and the memory of passwords that were right."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = config[AUTH_SYSTEM_USERS]
        self._pam_service = config[AUTH_PAM_SERVICE]
        self._verified = VerifiedPasswords(config[AUTH_CACHE_TTL], clock)
        self._hosted = ThreadPoolExecutor(config[AUTH_THREADS], "argon2")
        self._system = ThreadPoolExecutor(SYSTEM_THREADS, "system")
        self._waiting = 0

    async def check(self, user: User | None, password: str, client_address: str) -> Verdict:
        """Whether this is the user's password.  For nobody, `WRONG` after as long as for somebody."""
        match user:
            case HostedUser():
                return await self._check_hosted(user, password)
            case SystemUser():
                return await self._run(self._system, self._check_system, user.name, password, client_address)
            case None:
                verdict = await self._run(self._hosted, _verify, password, unmatchable_hash())
                return Verdict.WRONG if verdict is Verdict.RIGHT else verdict

    async def _check_hosted(self, user: HostedUser, password: str) -> Verdict:
        address, stored = user.account.address, user.row.password
        if self._verified.knows(address, password, stored):
            return Verdict.RIGHT
        verdict = await self._run(self._hosted, _verify, password, stored)
        if verdict is Verdict.RIGHT:
            self._verified.remember(address, password, stored)
        return verdict

    def _check_system(self, name: str, password: str, client_address: str) -> Verdict:
        if self._backend == "pam":
            return pam.check(self._pam_service, name, password, client_address)
        return shadow.check(name, password)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., Verdict], *arguments: str) -> Verdict:
        if self._waiting >= WAITING_LIMIT:
            return Verdict.UNAVAILABLE
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end; checks that wait are dropped."""
        self._hosted.shutdown(wait=False, cancel_futures=True)
        self._system.shutdown(wait=False, cancel_futures=True)


def _verify(password: str, stored: str) -> Verdict:
    return Verdict.RIGHT if verify_password(password, stored) else Verdict.WRONG
