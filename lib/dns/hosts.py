"""/etc/hosts (hosts(5)), passed in as text: names for addresses and addresses for names."""

from __future__ import annotations

import ipaddress


class Hosts:
    """The table in both directions.  Lines in error are ignored, as the C library does."""

    def __init__(self, text: str = "") -> None:
        self._names: dict[str, str] = {}
        self._addresses: dict[str, list[str]] = {}
        for line in text.splitlines():
            fields = line.partition("#")[0].split()
            if len(fields) < 2:
                continue
            try:
                address = str(ipaddress.ip_address(fields[0].partition("%")[0]))
            except ValueError:
                continue
            self._names.setdefault(address, fields[1])
            for name in fields[1:]:
                addresses = self._addresses.setdefault(name.lower(), [])
                if address not in addresses:
                    addresses.append(address)

    def name(self, address: str) -> str | None:
        """The canonical name of an address."""
        return self._names.get(address)

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, IPv4 and IPv6 in the order of the file."""
        return tuple(self._addresses.get(name.lower(), ()))
