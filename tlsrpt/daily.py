"""Once a day: which reports are due, what domains wish, and what becomes of each (RFC 8460 sections 3, 4.1 and 5.5)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeAlias

from pillarbox.lib.log import log
from pillarbox.tlsrpt.counts import Counts
from pillarbox.tlsrpt.delivery import Delivery, Later, Refused
from pillarbox.tlsrpt.ledger import Entry, Ledger
from pillarbox.tlsrpt.report import DAY, Report, Reporter
from pillarbox.tlsrpt.wish import mail_address

DAYS_KEPT: Final = 2
"""Days for which reports are tried; older counts and entries are dropped."""

FIRST_PAUSE: Final = 900.0
"""Seconds after a first failure; doubled after each further one (section 5.5)."""

ATTEMPTS_LIMIT: Final = 7
"""With the pauses, about 16 hours."""

AT_ONCE: Final = 20
"""Domains worked on at once, and taken from the file together."""

NOTHING: Final = "-"
"""The id of a report that is not made."""

AskWish: TypeAlias = Callable[[str], Awaitable[tuple[str, ...] | None]]
"""The places that a domain wishes its reports at; None where nobody can say now."""


class Daily:
    """`delay`: reports are due at a random moment within so many seconds after midnight UTC.  `clock` in seconds since
    the epoch; `chance` gives numbers from 0 to 1, `unique` a word that was never given before."""

    def __init__(
        self,
        counts: Counts,
        ledger: Ledger,
        wishes: AskWish,
        delivery: Delivery,
        reporter: Reporter,
        *,
        delay: float,
        unique: Callable[[], str],
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._counts = counts
        self._ledger = ledger
        self._wishes = wishes
        self._delivery = delivery
        self._reporter = reporter
        self._delay = delay
        self._unique = unique
        self._clock = clock
        self._chance = chance

    async def round(self) -> None:
        """Do what is due now."""
        today = int(self._clock() // DAY)
        self._counts.forget_before(today - DAYS_KEPT)
        self._ledger.forget_before(today - DAYS_KEPT)
        for day in self._counts.days():
            if day >= today:
                break
            due = self._ledger.due(day, int((day + 1) * DAY + self._chance() * self._delay))
            if self._clock() >= due:
                for domains in self._batches(day):
                    await asyncio.gather(*(self._report(day, domain) for domain in domains))

    def _batches(self, day: int) -> Iterator[list[str]]:
        after = ""
        while domains := self._counts.domains(day, after, AT_ONCE):
            yield domains
            after = domains[-1]

    async def _report(self, day: int, domain: str) -> None:
        entry = self._ledger.find(day, domain)
        if not entry.settled:
            if self._clock() < entry.next:
                return
            try:
                entry = await self._work_on(day, domain, entry)
            except Exception as error:
                log.panic(f"{domain}: report on TLS: {type(error).__name__}: {error}")
                entry = Entry(NOTHING)
            if not self._ledger.write(day, domain, entry):
                return
        if entry.settled:
            self._counts.forget(day, domain)

    async def _work_on(self, day: int, domain: str, entry: Entry) -> Entry:
        """One attempt; what is to be done afterwards."""
        policies = self._counts.policies(day, domain)
        if not entry.id:
            report = Report(domain, day, NOTHING, self._reporter, policies)
            if report.sessions <= self._ledger.mailed(day, domain):
                return Entry(NOTHING)  # about nothing but reports (section 3): two reporters would never end
            places = await self._wishes(domain)
            if places is None:
                return self._later(domain, entry, "nobody can say whether it wishes one")
            if not places:
                return Entry(NOTHING)
            identity = f"{time.strftime('%Y%m%d', time.gmtime(report.begin))}.{self._unique()}@{self._reporter.domain}"
            entry = Entry(identity, places, entry.attempts)
        report = Report(domain, day, entry.id, self._reporter, policies)
        again: list[str] = []
        for group in _groups(entry.places):
            entry = Entry(entry.id, tuple(place for place in entry.places if place not in group), entry.attempts)
            pending = Entry(entry.id, (*entry.places, *again), entry.attempts)
            if not self._ledger.write(day, domain, pending):
                raise OSError("the ledger cannot be written")
            where = ", ".join(group)
            try:
                said = await self._send(report, group)
                log.info(f"{domain}: report {entry.id} on TLS sent to {where}: {said}")
            except Later as failed:
                log.warning(f"{domain}: report {entry.id} on TLS not sent to {where} now: {failed}")
                again += group
            except Refused as failed:
                log.warning(f"{domain}: report {entry.id} on TLS not sent to {where}: {failed}")
        if not again:
            return Entry(entry.id)
        return self._later(domain, Entry(entry.id, tuple(again), entry.attempts), "it could not be sent")

    def _later(self, domain: str, entry: Entry, why: str) -> Entry:
        attempts = entry.attempts + 1
        if attempts >= ATTEMPTS_LIMIT:
            log.warning(f"{domain}: report on TLS given up after {attempts} attempts: {why}")
            return Entry(entry.id or NOTHING)
        following = int(self._clock() + FIRST_PAUSE * 2**entry.attempts)
        return Entry(entry.id, entry.places, attempts, following)

    async def _send(self, report: Report, places: Sequence[str]) -> str:
        addresses = [address for place in places if (address := mail_address(place))]
        if not addresses:
            return await self._delivery.post(report, places[0])
        for address in addresses:
            today = int(self._clock() // DAY)
            self._ledger.note_mailed(today, address.rpartition("@")[2].lower())
        return await self._delivery.mail(report, addresses)


def _groups(places: Sequence[str]) -> list[list[str]]:
    """Addresses get one message together; each URL is a place of its own."""
    mail = [place for place in places if mail_address(place)]
    return ([mail] if mail else []) + [[place] for place in places if place not in mail]
