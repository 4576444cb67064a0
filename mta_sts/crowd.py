"""Who makes way where there are too many: those whose relatives are most.

Whoever wants to push others out needs many domains, and has them where they cost nothing: below a few of his own.  So
a family, the domains with the same last two labels, is cut down first that has most members; of a family those stay
that were used last.  (Below `co.uk` there are many owners: together they are a family that is cut down only where it is
the largest one.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def family_of(domain: str) -> str:
    """The last two labels."""
    return ".".join(domain.split(".")[-2:])


def surplus(domains: Iterable[str], room: int) -> list[str]:
    """Which of `domains`, those used last first, are too many for `room`."""
    families: dict[str, list[str]] = {}
    for domain in domains:
        families.setdefault(family_of(domain), []).append(domain)
    level = fair_level([len(family) for family in families.values()], room)
    spared = room - sum(min(level, len(family)) for family in families.values())
    gone: list[str] = []
    for family in families.values():
        if len(family) > level and spared > 0:  # what is left of the room is one place for some
            spared -= 1
            gone += family[level + 1 :]
        else:
            gone += family[level:]
    return gone


def fair_level(sizes: Sequence[int], room: int) -> int:
    """The largest number of members to which families of these sizes can be cut so that they have room together."""
    left = room
    ordered = sorted(sizes)
    for position, size in enumerate(ordered):
        level = max(0, left) // (len(ordered) - position)
        if size > level:
            return level
        left -= size
    return ordered[-1] if ordered else 0
