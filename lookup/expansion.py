"""Virtual aliases: what a recipient is replaced by, virtual(5)."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.lookup import (
    VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT,
    VIRTUAL_ALIAS_EXPANSION_LIMIT,
    VIRTUAL_ALIAS_MAPS,
    VIRTUAL_ALIAS_RECURSION_LIMIT,
)
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.mapping import Mapping, same
from pillarbox.lookup.tableset import TableSet


class Expansion:
    """The aliases of one configuration."""

    def __init__(self, config: Config, tables: TableSet, mapping: Mapping) -> None:
        self._mapping = mapping
        self._complete = mapping.complete
        self._aliases = tables.maps(VIRTUAL_ALIAS_MAPS)
        self._depth_limit = config[VIRTUAL_ALIAS_RECURSION_LIMIT]
        self._size_limit = config[VIRTUAL_ALIAS_EXPANSION_LIMIT]
        self._length_limit = config[VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT]

    def expand(self, address: str) -> tuple[str, ...] | None:
        """What virtual aliases make of `address`, fully expanded, without duplicates; None = it is no alias.

        An address may expand to itself and others.  Raises LookupFailed where a table fails, refers in a circle or
        goes beyond a limit: the mail waits until the table is mended.
        """
        if not self._aliases:
            return None
        address = self._complete(address)
        first = self._alias(address)
        if first is None:
            return None
        final: dict[str, None] = {}
        done: set[str] = set()  # aliases that were looked at: lists of lists may name each of them very often
        # A stack of addresses still to look at, each with the chain of aliases that led to it.
        pending: list[tuple[str, Chain]] = [(each, (address, None, 1)) for each in reversed(first)]
        while pending:
            current, chain = pending.pop()
            if same(current, chain[0]):
                final[current] = None  # an alias that lists itself: the address itself is meant
                continue
            if chain[2] > self._depth_limit or _in_chain(current, chain):
                raise self._unreasonable("nesting", address)
            if (folded := current.casefold()) in done:
                continue
            members = self._alias(current)
            if members is None:
                final[current] = None
            else:
                done.add(folded)
                inner = (current, chain, chain[2] + 1)
                pending += [(each, inner) for each in reversed(members)]
            if len(final) + len(pending) > self._size_limit:
                raise self._unreasonable("expansion size", address)
        return tuple(final)

    def _unreasonable(self, what: str, address: str) -> LookupFailed:
        return LookupFailed(
            f"unreasonable virtual_alias_maps map {what} for {address} -- message not accepted, try again later"
        )

    def _alias(self, address: str) -> list[str] | None:
        members = self._mapping.find(self._aliases, address, "virtual")
        for member in members or ():
            if len(member) > self._length_limit:
                raise LookupFailed(f"unreasonable virtual_alias_maps result {member[:300]}... for {address}")
        return members


Chain = tuple[str, "Chain | None", int]
"""(alias, the chain before it, its length)."""


def _in_chain(address: str, chain: Chain) -> bool:
    link: Chain | None = chain
    while link is not None:
        if same(link[0], address):
            return True
        link = link[1]
    return False
