"""What accounts send per unit of time, and the brake on an account that sends more than its owner ever would.

A unit of time begins with an account's first message in it.  A recipient is new to an account that has not written to
it within `MEMORY`.  Over a limit the account is braked: the message that went over it and all that follow are to be
held until a person releases the account.  One message about it is asked for; whoever promises to send it confirms
that, else it is asked for again after `LEASE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.reputation.database import Database

MEMORY: Final = 180 * 86400
"""Seconds for which it is known whom an account has written to."""

LEASE: Final = 60
"""Seconds that a process has to send the message about a braked account before another one is asked."""

NEVER: Final = 2**62
"""When a brake is forgotten."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most messages, recipients and new recipients per `period` seconds; 0: any number."""

    messages: int
    recipients: int
    new_recipients: int
    period: int


@dataclass(frozen=True, slots=True)
class State:
    """An account: its counts in the unit of time; `braked` is when, or 0; `reason` is why."""

    account: str
    began: int
    messages: int
    recipients: int
    new_recipients: int
    braked: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a message; with `tell` its owner and the postmaster are to be told."""

    state: State
    tell: bool


class Accounts:
    """The counts over one database; every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def submit(self, account: str, messages: int, recipients: tuple[str, ...], limits: Limits) -> Outcome:
        """Count a message to recipients (keys)."""
        now = int(self._clock())
        row = self._database.row(
            "SELECT began, messages, recipients, new_recipients, braked, reason, told FROM accounts WHERE account = ?",
            (account,),
        )
        began, sent, addressed, new, braked, reason, told = row or (now, 0, 0, 0, 0, "", 0)
        if not 0 <= now - began < limits.period:
            began, sent, addressed, new = now, 0, 0, 0
        sent += messages
        addressed += len(recipients)
        new += self._learn(account, recipients, now)
        fresh = False
        if not braked and (reason := _excess(sent, addressed, new, limits)):
            braked, told, fresh = now, 0, True
        tell = bool(braked) and (told == 0 or (told < 0 and now + told >= LEASE))
        if tell:
            told = -now
        self._database.change(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (account, began, sent, addressed, new, braked, reason, told, NEVER if braked else now + limits.period),
        )
        if fresh:
            self._database.commit()
        return Outcome(State(account, began, sent, addressed, new, braked, reason), tell)

    def _learn(self, account: str, recipients: tuple[str, ...], now: int) -> int:
        """Remember whom the account writes to; how many of them are new."""
        new = 0
        for key in dict.fromkeys(recipients):
            row = self._database.row(
                "SELECT expires FROM account_recipients WHERE account = ? AND key = ?", (account, key)
            )
            known = row is not None and row[0] > now
            new += not known
            if not known or (row is not None and row[0] < now + MEMORY - 86400):
                self._database.change(
                    "INSERT OR REPLACE INTO account_recipients VALUES (?, ?, ?)", (account, key, now + MEMORY)
                )
        return new

    def told(self, account: str) -> None:
        """The message about the brake is in the queue."""
        self._database.change("UPDATE accounts SET told = ? WHERE account = ?", (int(self._clock()), account))
        self._database.commit()

    def release(self, account: str) -> State | None:
        """Take the brake off, and begin to count anew; what the account was, None where nothing is known of it."""
        state = next(iter(self.states(account)), None)
        if state is not None:
            self._database.change("DELETE FROM accounts WHERE account = ?", (account,))
            self._database.commit()
        return state

    def states(self, account: str | None = None) -> list[State]:
        """All accounts of which something is known, the braked ones first; or the one that is named."""
        return [
            State(*row)
            for row in self._database.rows(
                "SELECT account, began, messages, recipients, new_recipients, braked, reason FROM accounts "
                "WHERE (?1 IS NULL OR account = ?1) AND expires > ?2 ORDER BY braked = 0, account",
                (account, int(self._clock())),
            )
        ]


def _excess(sent: int, addressed: int, new: int, limits: Limits) -> str:
    """Which limit is exceeded, in words; "" where none is."""
    for count, limit, what in (
        (sent, limits.messages, "messages"),
        (addressed, limits.recipients, "recipients"),
        (new, limits.new_recipients, "recipients that it had never written to before"),
    ):
        if count > limit > 0:
            return f"{count} {what} within {_span(limits.period)}, {limit} are allowed"
    return ""


def _span(seconds: int) -> str:
    """`1 day`, `12 hours`, `90 seconds`."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {name}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"
