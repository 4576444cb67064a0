"""Restriction lists and the arguments in them, as they stand in the configuration."""

from __future__ import annotations

import contextlib

from pillarbox.lib.config.restrictions import RESTRICTIONS, parse_rules


def fuzz(data: bytes) -> None:
    """A list is read, or refused with words for a person; what needs an argument has one."""
    with contextlib.suppress(ValueError):
        for rule in parse_rules(data.decode("utf-8", "replace"), "check_client_access"):
            assert rule.argument or RESTRICTIONS.get(rule.name) is None
