"""Who has passed the tests: known in this process at once, in every other and after a restart by way of reputation."""

from __future__ import annotations

from typing import Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.reputation import AsyncReputationClient, Passed
from pillarbox.lib.log import log
from pillarbox.smtpd.screening.dnsbl import Silence

REMEMBERED: Final = 10_000
"""Clients that a process knows by itself, some 2 MB; beyond it the one learnt first is asked for again."""

NOTHING: Final = Passed(0, 0, 0)


class Results:
    """The results of one process and, behind it, of all."""

    def __init__(self, reputation: AsyncReputationClient, silence: Silence) -> None:
        self.silence = silence
        self._reputation = reputation
        self._known: dict[str, Passed] = {}

    def known(self, address: str) -> Passed | None:
        """What is at hand."""
        return self._known.get(address)

    async def find(self, address: str) -> Passed | None:
        """What other processes have learnt; None also where that cannot be said."""
        try:
            found = await self._reputation.client(address)
        except ServiceUnavailable as error:
            log.warning(error.reason)
            return None
        if found is not None:
            self._keep(address, found)
        return found

    def keep(self, address: str, passed: Passed) -> None:
        """A client has passed."""
        self._keep(address, passed)
        self._reputation.passed(address, passed)

    def _keep(self, address: str, passed: Passed) -> None:
        self._known.pop(address, None)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[address] = passed
