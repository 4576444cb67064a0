"""Tables that a program other than lookup opens for itself, with those among them that only lookup can ask.

header_checks and its kin are mostly expressions, which cleanup and the SMTP client try themselves; what asks servers,
or has `proxy:` before it, is asked of lookup, a question for each key.  Look-ups wait for the answer; in a program that
must not wait they raise `NotAsked`, and are made again when there is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.tables import STANDARD, Maps, Options, Registry, Table
from pillarbox.lib.tables.registry import Opener
from pillarbox.lib.tables.remote import REMOTE


class Asked(Protocol):
    """What gives the answers."""

    def in_table(self, table: str, key: str) -> str | None:
        """The value of `key` in the table.  Raises LookupFailed, NotAsked."""
        ...


class NotAsked(Exception):
    """The answer to a question must be waited for."""

    def __init__(self, table: str, key: str) -> None:
        super().__init__(table)
        self.table = table
        self.key = key


class Answers:
    """The answers to questions that were asked before, for a program with an event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str | None] = {}

    def in_table(self, table: str, key: str) -> str | None:
        """The value of `key` in the table.  Raises NotAsked."""
        try:
            return self._known[table, key]
        except KeyError:
            raise NotAsked(table, key) from None

    async def find(
        self,
        maps: Maps,
        keys: Iterable[str],
        lookup: AsyncLookupClient,
        within: Callable[[], AbstractContextManager[None]],
    ) -> list[str | None]:
        """The values of `keys` in `maps`, whose registry has these answers.  Each try is made `within` something.

        Raises LookupFailed.
        """
        known: dict[tuple[str, str], str | None] = {}
        wanted, values = tuple(keys), list[str | None]()
        while True:
            self._known = known  # others may have looked up meanwhile
            try:
                with within():
                    while len(values) < len(wanted):
                        values.append(maps.find(wanted[len(values)]))
                return values
            except NotAsked as question:
                known[question.table, question.key] = await lookup.in_table(question.table, question.key)


class ThroughLookup(Table):
    """One table."""

    patterns = True  # whole keys: what the table is, lookup knows

    def __init__(self, spec: str, options: Options, client: Asked) -> None:
        super().__init__(spec, options)
        self._client = client

    def get(self, key: str) -> str | None:
        return self._client.in_table(self.spec, key)


def through_lookup(config: Config, asked: Asked | None = None) -> Registry:
    """The types of tables as such a program opens them; without `asked` look-ups wait."""
    client = LookupClient(config) if asked is None else asked
    registry = STANDARD.copy()

    def opener() -> Opener:
        return lambda spec, options, registry: ThroughLookup(spec, options, client)

    for kind in REMOTE:
        registry.register(kind, opener())
    return registry
