"""`cidr:FILE`: networks and addresses, cidr_table(5): `network/length result`, `!network/length result`.

Keys that are no IP address are in no network: not found.  A rule, negated or not, is about its own IP version only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.rules import Apply, Grammar, RuleError, open_rules
from pillarbox.lib.tables.table import Options, Table

Address = tuple[int, int]
"""(version, the address as a number)."""


class Networks(Grammar[Address]):
    """Rules over addresses as numbers: a match is one mask and one comparison."""

    kind = "cidr"

    def key(self, key: str) -> Address | None:
        try:
            address = ipaddress.ip_address(key)
        except ValueError:
            return None
        return address.version, int(address)

    def rule(self, text: str, warn: Callable[[str], None]) -> Apply[Address]:
        matches, result = self._split(text)
        if not result:
            raise RuleError("no lookup result")
        return lambda key: result if matches(key) else None

    def condition(self, text: str, warn: Callable[[str], None]) -> Callable[[Address], bool]:
        matches, rest = self._split(text)
        if rest:
            warn(f'ignoring extra text after IF statement: "{rest}"')
        return matches

    def _split(self, text: str) -> tuple[Callable[[Address], bool], str]:
        negated = False
        while text.startswith("!"):
            negated = not negated
            text = text[1:].lstrip()
        words = text.split(None, 1)
        if not words:
            raise RuleError("no address pattern")
        pattern = words[0].replace("[", "", 1).replace("]", "", 1) if words[0][0] == "[" else words[0]
        network = _network(pattern)
        version, mask, wanted = network.version, int(network.netmask), int(network.network_address)

        def matches(key: Address) -> bool:
            return key[0] == version and (key[1] & mask == wanted) != negated

        return matches, words[1].strip() if len(words) > 1 else ""


def _network(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if "%" in pattern:
        raise RuleError(f'bad address pattern: "{pattern}"')
    address, slash, length = pattern.partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        raise RuleError(f'bad net/mask pattern: "{pattern}"')
    try:
        loose = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        kind = "net/mask" if slash else "address"
        raise RuleError(f'bad {kind} pattern: "{pattern}"') from None
    if loose.network_address != ipaddress.ip_address(address):
        raise RuleError(f'non-null host address bits in "{pattern}", perhaps you should use "{loose}" instead')
    return loose


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `cidr:FILE` or `cidr:{...}`."""
    return open_rules(spec, Networks(options))
