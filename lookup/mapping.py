"""An address looked up in tables of addresses, virtual(5), canonical(5), generic(5): the addresses it stands for.

A result is completed like any address; `@other.domain` keeps the user; an extension that the key did not have is put
behind the result's user where propagate_unmatched_extensions says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.address.address import split_address
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import PROPAGATE_UNMATCHED_EXTENSIONS
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import find_address, with_extension
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.routing import Router

REPEAT_LIMIT = 100
"""How often tables may rewrite one address: `a` to `b` to `a` would never end."""

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_.+=\-]+@[A-Za-z0-9.\-]+")


class Mapping:
    """How one configuration looks addresses up."""

    def __init__(self, config: Config, classes: Classes, router: Router) -> None:
        self.complete: Callable[[str], str] = router.complete
        self._is_own = classes.is_own
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._propagate = config[PROPAGATE_UNMATCHED_EXTENSIONS]

    def find(self, maps: Maps, address: str, kind: str) -> list[str] | None:
        """The addresses that `address` (complete) stands for; None: it is in none of the tables.

        `kind` is a word of propagate_unmatched_extensions.  Raises LookupFailed, also where a value is no list of
        addresses.
        """
        found = find_address(maps, address, self._delimiters, self._is_own)
        if found is None:
            return None
        extension = found.extension if kind in self._propagate else ""
        results: list[str] = []
        for text in _listed(found.value, maps.title, address):
            if text[0] == "@":
                # @other.domain: the same user elsewhere, the extension still attached
                results.append(split_address(address)[0] + text)
            else:
                results.append(self.complete(with_extension(text, extension)))
        return results

    def value(self, maps: Maps, address: str) -> str | None:
        """What the tables have for an address (complete), as it is written there.  Raises LookupFailed."""
        found = find_address(maps, address, self._delimiters, self._is_own)
        return None if found is None else found.value

    def replaced(self, maps: Maps, address: str, kind: str, *, repeat: bool = False) -> str:
        """The one address in place of `address`, which may be itself; with `repeat` looked up until nothing changes.

        Raises LookupFailed.
        """
        original = address
        for _ in range(REPEAT_LIMIT):
            results = self.find(maps, address, kind)
            if results is None:
                return address
            if len(results) > 1:
                raise LookupFailed(f"{maps.title}: multi-valued result for {address}: one address was expected")
            before, address = address, results[0]
            if not repeat or same(before, address):
                return address
        raise LookupFailed(f"unreasonable {maps.title} map nesting for {original}")


def same(first: str, second: str) -> bool:
    """Whether tables take two addresses for the same one."""
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
