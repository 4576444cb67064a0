"""What a table has, and what is wrong with it, for whoever looks a configuration through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache

from pillarbox.lib.log import log
from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.registry import STANDARD

BUILT = ("hash", "btree", "cdb", "lmdb")
"""Types whose files a command builds."""


@lru_cache(maxsize=100)
def contents(spec: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What is wrong with the table `type:name`, the first of it, or "", and its entries, as far as they can be listed.

    Reads it whole and remembers it: not for programs that answer somebody.
    """
    kind, _, name = spec.removeprefix("proxy:").partition(":")
    try:
        table = STANDARD.open(spec)
        for file in table.files():
            if not os.path.exists(file):
                cure = f"; build it: postmap {kind}:{name}" if kind in BUILT else ""
                return f"{spec}: there is no file {file}{cure}", ()
        with log.capture() as said:
            if kind != "fail":  # which nobody writes by mistake
                table.examine()
            try:
                entries = tuple(table.items())
            except TableError:
                entries = ()
    except (TableError, LookupFailed) as error:
        return str(error), ()
    # A line that is no entry, an expression without a result: look-ups go on, but not as it was meant.
    return (f"{spec}: {said[0].removeprefix('warning: ')}" if said else ""), entries


def listed(specs: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """For each entry of tables that can be listed where it stands ("TABLE: KEY: "), its key, and its value."""
    for spec in specs:
        for key, value in contents(spec)[1]:
            yield f"{spec}: {key}: ", key, value
