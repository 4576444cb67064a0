"""Who may try a password now: growing lock-outs of client networks and of accounts.

What is counted, and what a lock keeps out:

| counter | counts failures of | its lock keeps out |
|---|---|---|
| network | an IPv4 address or IPv6 /64, whatever the account | that network |
| account | an account name, from networks that it has never logged in from | such networks |
| pair | an account from a network that it has logged in from | that account from that network |

So strangers who hammer an account lock themselves out and others like them, but never its owner where the owner has
logged in before: there only the pair counts.  The same wrong password again is no guess: a forgotten telephone with an
old password locks nobody out.  A name that no account has is counted like any other, so that nothing shows.

Nothing is checked for a client that is locked out, so a lock cannot be tried against.  Attempts during a lock do not
prolong it; the next lock is twice as long.  One table for all protocols and workers: auth is one process.  It is kept
in memory: a restart forgets locks (but not where accounts have logged in from).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.auth.penalty import network
from pillarbox.lib.smtp.networks import Networks

LIMIT = 20_000
"""Entries of each counter; beyond it the one that failed longest ago is forgotten."""

REMEMBERED_GUESSES = 4
"""Different wrong passwords remembered per network and account: two programs with two old passwords, twice over."""


@dataclass(frozen=True, slots=True)
class LockoutRules:
    """Limits in failures (0: no lock), times in seconds.

    `time` is the first lock, each further one is twice as long, up to `most`.  Failures with more than `window` between
    them do not add up.  `exempt` networks are never locked as such (they stand for many users: a webmail).
    """

    network_limit: int
    account_limit: int
    time: float
    most: float
    window: float
    exempt: Networks


@dataclass(slots=True)
class _Entry:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0
    locks: int = 0
    pending: int = 0


class _Counter:
    """Failures by key."""

    def __init__(self, rules: LockoutRules, limit: int, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._limit = limit
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def wait(self, key: str) -> float:
        """Seconds until a lock ends; 0 where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return 0.0
        if entry.failures and entry.failures + entry.pending >= self._limit > 0:
            return 1.0  # as many are being tried at this moment as may fail
        return max(0.0, entry.until - self._clock())

    def pending(self, key: str, change: int) -> None:
        """An attempt begins (1) or has ended (-1)."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.pending = max(0, entry.pending + change)

    def failed(self, key: str) -> float:
        """Count; gives the seconds of a lock that this failure brought about, else 0."""
        if not self._limit:
            return 0.0
        rules, now = self._rules, self._clock()
        entry = self._entries.pop(key, None) or _Entry()
        if len(self._entries) >= LIMIT:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry
        if now - entry.last > rules.window:
            entry.failures = 0
        if now - entry.until > 2 * rules.most:
            entry.locks = 0
        entry.failures += 1
        entry.last = now
        if entry.failures < self._limit:
            return 0.0
        duration = min(rules.time * 2.0 ** min(entry.locks, 30), rules.most)
        entry.failures = 0
        entry.locks += 1
        entry.until = now + duration
        return duration

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: by whom, at which account (as normalized as can be), and whether it has logged in from there before."""

    network: str
    account: str
    known: bool
    exempt: bool

    @property
    def pair(self) -> str:
        return f"{self.network} {self.account}"


class Lockouts:
    """The three counters.  `clock` in seconds, monotonic."""

    def __init__(self, rules: LockoutRules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._networks = _Counter(rules, rules.network_limit, clock)
        self._accounts = _Counter(rules, rules.account_limit, clock)
        self._pairs = _Counter(rules, rules.network_limit, clock)
        self._guesses: dict[str, tuple[bytes, ...]] = {}
        self._key = secrets.token_bytes(32)

    def attempt(self, client_address: str, account: str, known: bool) -> Attempt:
        """An attempt to be asked about with the other methods."""
        return Attempt(network(client_address), account, known, client_address in self._rules.exempt)

    def _counters(self, attempt: Attempt) -> list[tuple[_Counter, str]]:
        if attempt.known:
            return [(self._pairs, attempt.pair)]
        counters = [] if attempt.exempt else [(self._networks, attempt.network)]
        return [*counters, (self._accounts, attempt.account)] if attempt.account else counters

    def wait(self, attempt: Attempt) -> float:
        """Seconds for which this attempt is locked out; 0 where it may go on."""
        return max((counter.wait(key) for counter, key in self._counters(attempt)), default=0.0)

    def begin(self, attempt: Attempt) -> None:
        """A check begins; `end` must follow."""
        for counter, key in self._counters(attempt):
            counter.pending(key, 1)

    def end(self, attempt: Attempt) -> None:
        """The check is over, whatever came of it."""
        for counter, key in self._counters(attempt):
            counter.pending(key, -1)

    def failed(self, attempt: Attempt, password: str = "") -> tuple[bool, list[str]]:
        """Note a failure; gives whether it counts (it does not for the same password again), and lines for the log."""
        if password and self._guessed_before(attempt, password):
            return False, []
        lines = []
        for counter, key in self._counters(attempt):
            if duration := counter.failed(key):
                if counter is self._accounts:
                    who = f"{attempt.account}, for networks that it has never logged in from,"
                elif counter is self._pairs:
                    who = f"{attempt.account} from {attempt.network}"
                else:
                    who = attempt.network
                lines.append(f"{who} is locked out for {duration:g}s: too many failed logins")
        return True, lines

    def succeeded(self, attempt: Attempt) -> None:
        """The right credentials: the pair is clear.  The network stays: its user could else guess at others."""
        self._pairs.forget(attempt.pair)

    def _guessed_before(self, attempt: Attempt, password: str) -> bool:
        digest = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")[:16]
        known = self._guesses.pop(attempt.pair, ())
        if len(self._guesses) >= LIMIT:
            del self._guesses[next(iter(self._guesses))]
        before = digest in known
        self._guesses[attempt.pair] = known if before else (*known, digest)[-REMEMBERED_GUESSES:]
        return before
