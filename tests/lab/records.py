"""DNS records in memory: what exists, and what a name is answered with (wildcards as RFC 4592 has them)."""

from __future__ import annotations

from collections.abc import Iterator

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

Name = dns.name.Name
Kind = dns.rdatatype.RdataType
Data = list[dns.rdata.Rdata]

_STAR = dns.name.Name(("*",))


class Records:
    """All records of a server, by owner and type."""

    def __init__(self) -> None:
        self._data: dict[tuple[Name, Kind], Data] = {}
        self._kinds: dict[Name, set[Kind]] = {}
        self._existing: set[Name] | None = None

    def add(self, text: str) -> None:
        """Add records, one per line: `NAME [TTL] [IN] TYPE DATA...`; `;` begins a comment.  Raises ValueError."""
        self._existing = None
        for line in text.splitlines():
            stripped = line.strip()
            if stripped and not stripped.startswith(";"):
                name, kind, data = _parse(stripped)
                self._data.setdefault((name, kind), []).append(data)
                self._kinds.setdefault(name, set()).add(kind)

    def remove(self, name: Name, kind: str = "") -> None:
        """Forget the records of `name`, of one type or all."""
        self._existing = None
        for each in [each for each in self._kinds.get(name, ()) if kind in ("", dns.rdatatype.to_text(each))]:
            del self._data[name, each]
            self._kinds[name].discard(each)
        if not self._kinds.get(name, True):
            del self._kinds[name]

    def get(self, name: Name, kind: Kind) -> Data:
        """The records with exactly this owner and type."""
        return self._data.get((name, kind), [])

    def owners(self) -> Iterator[Name]:
        """Every name that has records."""
        return iter(self._kinds)

    def kinds(self, name: Name) -> set[Kind]:
        """The types that a name has records of."""
        return self._kinds.get(name, set())

    def exists(self, name: Name) -> bool:
        """Whether the name, or anything below it, has records: an empty non-terminal exists (RFC 8020)."""
        if self._existing is None:
            self._existing = with_ancestors(self._kinds)
        return name in self._existing

    def source(self, name: Name) -> Name | None:
        """The owner whose records answer for `name`: itself, the wildcard below its closest encloser, or none."""
        if self.exists(name):
            return name
        wildcard = wildcard_of(self.encloser(name))
        return wildcard if wildcard in self._kinds else None

    def encloser(self, name: Name) -> Name:
        """The closest ancestor that exists; the root always does."""
        while name != dns.name.root and not self.exists(name):
            name = name.parent()
        return name


def with_ancestors(names: object) -> set[Name]:
    """The names and everything above them."""
    found: set[Name] = {dns.name.root}
    assert hasattr(names, "__iter__")
    for each in names:
        name: Name = each
        while name not in found:
            found.add(name)
            name = name.parent()
    return found


def wildcard_of(encloser: Name) -> Name:
    """`*.` below a name."""
    return _STAR.concatenate(encloser)


def parse_name(text: str) -> Name:
    """A name from text, below the root where the final dot is missing, in lower case."""
    return dns.name.from_text(text, dns.name.root).canonicalize()


def _parse(line: str) -> tuple[Name, Kind, dns.rdata.Rdata]:
    name, *rest = line.split(None, 1)
    fields = (rest[0] if rest else "").split(None, 1)
    while fields and (fields[0].isdigit() or fields[0].upper() == "IN"):
        fields = fields[1].split(None, 1) if len(fields) > 1 else []
    if len(fields) != 2:
        raise ValueError(f"not a record, NAME [TTL] [IN] TYPE DATA was expected: {line!r}")
    kind = dns.rdatatype.from_text(fields[0])
    data = dns.rdata.from_text(dns.rdataclass.IN, kind, fields[1], origin=dns.name.root, relativize=False)
    return parse_name(name), kind, data
