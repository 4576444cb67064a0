"""Virtual aliases and canonical addresses: what an address is replaced by, virtual(5) and canonical(5)."""

from __future__ import annotations

import re
from collections.abc import Callable

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients.lookup import CanonicalKind
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import (
    CANONICAL_MAPS,
    PROPAGATE_UNMATCHED_EXTENSIONS,
    RECIPIENT_CANONICAL_MAPS,
    SENDER_CANONICAL_MAPS,
    VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT,
    VIRTUAL_ALIAS_EXPANSION_LIMIT,
    VIRTUAL_ALIAS_MAPS,
    VIRTUAL_ALIAS_RECURSION_LIMIT,
)
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import find_address, with_extension
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.routing import Router
from pillarbox.lookup.tableset import TableSet

CANONICAL_LIMIT = 100
"""How often canonical tables may rewrite one address: `a` to `b` to `a` would never end."""

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_.+=\-]+@[A-Za-z0-9.\-]+")
_SEPARATED = re.compile(r"[,\s]+")


class Expansion:
    """Rewriting for one configuration."""

    def __init__(self, config: Config, tables: TableSet, classes: Classes, router: Router) -> None:
        self._complete: Callable[[str], str] = router.complete
        self._is_own = classes.is_own
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._aliases = tables.maps(VIRTUAL_ALIAS_MAPS)
        self._canonical: dict[str, tuple[Maps, ...]] = {
            "sender": (tables.maps(SENDER_CANONICAL_MAPS), tables.maps(CANONICAL_MAPS)),
            "recipient": (tables.maps(RECIPIENT_CANONICAL_MAPS), tables.maps(CANONICAL_MAPS)),
        }
        propagate = config[PROPAGATE_UNMATCHED_EXTENSIONS]
        self._propagate_virtual = "virtual" in propagate
        self._propagate_canonical = "canonical" in propagate
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
        # A stack of addresses still to look at, each with the chain of aliases that led to it.
        pending: list[tuple[str, Chain]] = [(each, (address, None, 1)) for each in reversed(first)]
        while pending:
            current, chain = pending.pop()
            if _same(current, chain[0]):
                final[current] = None  # an alias that lists itself: the address itself is meant
                continue
            if chain[2] > self._depth_limit or _in_chain(current, chain):
                raise self._unreasonable("nesting", address)
            members = self._alias(current)
            if members is None:
                final[current] = None
            else:
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
        found = find_address(self._aliases, address, self._delimiters, self._is_own)
        if found is None:
            return None
        extension = found.extension if self._propagate_virtual else ""
        members = self._addresses(found.value, address, extension, self._aliases.title)
        for member in members:
            if len(member) > self._length_limit:
                raise LookupFailed(f"unreasonable virtual_alias_maps result {member[:300]}... for {address}")
        return members

    def canonical(self, address: str, kind: CanonicalKind) -> str | None:
        """What canonical tables rewrite `address` to, again and again until nothing changes; None = nothing."""
        original = address = self._complete(address)
        for maps in self._canonical[kind]:
            if not maps:
                continue
            for _ in range(CANONICAL_LIMIT):
                found = find_address(maps, address, self._delimiters, self._is_own)
                if found is None:
                    break
                extension = found.extension if self._propagate_canonical else ""
                results = self._addresses(found.value, address, extension, maps.title)
                if len(results) > 1:
                    raise LookupFailed(f"{maps.title}: multi-valued result for {address}: one address was expected")
                if _same(results[0], address):
                    address = results[0]
                    break
                address = results[0]
            else:
                raise LookupFailed(f"unreasonable {maps.title} map nesting for {original}")
        return None if address == original else address

    def _addresses(self, value: str, address: str, extension: str, title: str) -> list[str]:
        """The addresses that a table's value lists.  Raises LookupFailed where it is no list of addresses."""
        found: list[str] = []
        for text in _listed(value, title, address):
            if text[0] == "@":
                # @other.domain: the same user elsewhere, the extension still attached
                found.append(split_address(address)[0] + text)
            else:
                found.append(self._complete(with_extension(text, extension)))
        return found


Chain = tuple[str, "Chain | None", int]
"""(alias, the chain before it, its length)."""


def _in_chain(address: str, chain: Chain) -> bool:
    link: Chain | None = chain
    while link is not None:
        if _same(link[0], address):
            return True
        link = link[1]
    return False


def _same(first: str, second: str) -> bool:
    return first == second or first.casefold() == second.casefold()


def _listed(value: str, title: str, address: str) -> list[str]:
    if _PLAIN_ADDRESS.fullmatch(value):
        return [value]
    texts: list[str] = []
    rest: list[str] = []
    for item in value.split(",") if '"' not in value else [value]:
        item = item.strip()
        if (item.startswith("@") and ":" not in item and len(item) > 1) or _PLAIN_ADDRESS.fullmatch(item):
            texts.append(item)
        elif item:
            parsed = parse_address_list(item)
            rest += parsed.invalid
            texts += (mailbox.address for mailbox in parsed.mailboxes)
    if rest or not texts:
        raise LookupFailed(f'{title}: the value for {address} is no list of addresses: "{value[:200]}"')
    return texts
