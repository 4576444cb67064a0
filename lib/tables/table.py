"""What a table is: the interface that every type serves, its options, and the one rule of key folding."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pillarbox.lib.tables.errors import TableError


def fold(key: str) -> str:
    """The spelling under which a key is stored and looked up: case is folded, ASCII and not."""
    return key.lower() if key.isascii() else key.casefold()


TIME_LIMIT = 0.5
"""Seconds: thousands of expressions get by with a hundredth of it, and a program that serves many may stand still
for so long now and then."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a table is opened.

    `fold`: keys of tables with fixed keys are folded.  `substitution`: results of pattern tables may contain parts of
    the key (`$1`); it is off where the result names a program, a file, a transport or a user.  `clock` is monotonic.
    `denied` is called with a file name when a changed file may not be opened any more: a confined process was given
    rights to the former file only, and asks to be started anew.  From then on look-ups raise TableChanged; with
    `keep` they go on in the former content, for rules that only have to be in force some time soon.  `literals`: find
    out what `Table.literals` says, which takes time when a table is loaded.  `time_limit`: seconds of processor time
    that the expressions of a table may take for one key; 0 = any.  `authentic`: the results decide with whose rights
    something is done, so that servers elsewhere, which anyone could pretend to be, are not asked.
    """

    fold: bool = True
    substitution: bool = True
    clock: Callable[[], float] = field(default=time.monotonic)
    denied: Callable[[str], None] | None = None
    keep: bool = False
    literals: bool = False
    time_limit: float = TIME_LIMIT
    authentic: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """The servers that look-ups in a table ask, for the confinement of the process: TCP ports, and whether the
    servers have names, whose addresses must be looked up."""

    ports: frozenset[int] = frozenset()
    names: bool = False

    def __or__(self, other: Reach) -> Reach:
        return Reach(self.ports | other.ports, self.names or other.names)

    def __le__(self, other: Reach) -> bool:
        return self.ports <= other.ports and self.names <= other.names


class Table(abc.ABC):
    """One open table.  Not for several threads at once unless its type says so."""

    patterns = False
    """Whether keys are patterns: such a table is asked for a whole address only, never for its parts."""

    def __init__(self, spec: str, options: Options) -> None:
        self.spec = spec
        self.options = options

    @abc.abstractmethod
    def get(self, key: str) -> str | None:
        """The value of `key`, or None where it is not there.  Raises LookupFailed where that cannot be said."""

    def literals(self) -> frozenset[str] | None:
        """Texts (lower case, ASCII) of which every key that the table has contains one, see `literals`; None where
        nothing can be said.  May change whenever the table does.  Raises LookupFailed."""
        return None

    def items(self) -> Iterator[tuple[str, str]]:
        """Every entry, in no promised order.  Raises TableError where the type cannot be listed."""
        raise TableError(f"table {self.spec} cannot be listed")

    def preload(self) -> None:
        """Load now what the first look-up would; a failure shows at the look-ups."""
        return

    def examine(self) -> None:
        """Load now.  Raises LookupFailed where look-ups, or some of them, would fail as things are."""
        self.preload()

    def files(self) -> tuple[str, ...]:
        """The files that look-ups read, for the confinement of the process."""
        return ()

    def reach(self) -> Reach:
        """The servers that look-ups ask, as far as the table is loaded."""
        return Reach()

    def close(self) -> None:
        """Release what the table holds."""
        return

    def _folded(self, key: str) -> str:
        return fold(key) if self.options.fold else key
