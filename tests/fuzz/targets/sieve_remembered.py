"""Fuzz target: the file in which a filter remembers, which for system users belongs to its owner."""

from __future__ import annotations

from pillarbox.lib.sieve_box.remembered import parse

NOW = 1_800_000_000


def fuzz(data: bytes) -> None:
    """Whatever stands in the file, only what has not expired is known, under names of one length."""
    for digest, expiry in parse(data, NOW).items():
        assert expiry > NOW and len(digest) == 32
