"""The syntax of smtp_sasl_mechanism_filter: `plain, login` or `!scram-sha-1, static:all`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_NAME = re.compile(r"!?[A-Za-z0-9_-]{1,20}")  # RFC 4422 section 3.1

ALL = "static:all"


def parse_filter(items: Sequence[str]) -> Callable[[str], bool]:
    """Whether a mechanism, by its name in upper case, may be used: the first item that names it decides.

    Raises ValueError.
    """
    rules: list[tuple[str, bool]] = []
    for item in items:
        if item != ALL and not _NAME.fullmatch(item):
            raise ValueError(f'a mechanism, "!mechanism" or "{ALL}" was expected, not "{item}"')
        rules.append(("" if item == ALL else item.removeprefix("!").upper(), not item.startswith("!")))

    def permits(name: str) -> bool:
        for named, permitted in rules:
            if named in ("", name):
                return permitted
        return not rules

    return permits
