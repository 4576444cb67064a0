"""Tables that a program reads once, before it gives up its rights, and keeps as they were then.

Such tables hold secrets: only root may read them, and no service answers questions about them.  What a file holds later
a process does not see; master looks at the files and starts processes anew (`Program.tables`).  Only those types can be
kept whose look-ups need nothing but what they have read.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.log import log
from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.maps import Maps
from pillarbox.lib.tables.registry import MODULES, Registry
from pillarbox.lib.tables.table import Options, Table

SELF_CONTAINED = frozenset(
    (
        *("btree", "cdb", "hash", "lmdb", "texthash"),
        *("cidr", "pcre", "regexp"),
        *("environ", "fail", "inline", "randmap", "static"),
        *("pipemap", "proxy", "unionmap"),  # made of tables, which are looked at one by one
    )
)
"""The types that can be kept; a type that is added is none of them until it is shown to be one."""

_ASKING = {"accounts": "the account database", "logins": "the account database", "unix": "the system's name service"}


class _Kept(Registry):
    """Opens self-contained types only, also inside others."""

    def open(self, spec: str, options: Options | None = None) -> Table:
        kind = spec.partition(":")[0]
        if kind in _ASKING or (kind in MODULES and kind not in SELF_CONTAINED):
            asked = _ASKING.get(kind, "another program")
            raise TableError(
                f"table {spec}: the type {kind} asks {asked} at each look-up, but this table must be read as a whole "
                "before the program gives up its rights; use a file (hash, lmdb, texthash)"
            )
        return super().open(spec, options)


def _stopped_clock() -> float:
    """By this a table that has been read is for ever up to date."""
    return 0.0


def open_kept(title: str, specs: Iterable[str], *, substitution: bool = True) -> Maps:
    """The tables that the parameter `title` lists; `preload` reads them, once and for all.

    `substitution` as in Options.

    Raises TableError, which names the parameter, for a type that cannot be kept and a name that makes no sense.
    """
    try:
        return Maps.open(title, specs, Options(substitution=substitution, clock=_stopped_clock), _Kept())
    except TableError as error:
        raise TableError(f"{title}: {error}") from None


def kept_files(title: str, specs: Iterable[str]) -> tuple[str, ...]:
    """The files that `open_kept` reads; none where it cannot be used at all."""
    try:
        return open_kept(title, specs).files()
    except TableError:
        return ()


def examine(title: str, specs: Iterable[str]) -> list[str]:
    """Read the tables as a process would.  Gives what is odd about them, a line each (an entry that is passed over).

    Raises TableError as `open_kept`, and where a table cannot be read or look-ups in it would fail.
    """
    with log.capture() as lines:
        maps = open_kept(title, specs)
        try:
            maps.examine()
        except LookupFailed as error:
            raise TableError(f"{title}: {error}") from None
        finally:
            maps.close()
    return [f"{title}: {line.removeprefix('warning: ')}" for line in lines]
