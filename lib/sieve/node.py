"""The internal form of a script: nodes that were checked once and only run, values that may be kept and pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from pillarbox.lib.sieve.limits import COMMAND

if TYPE_CHECKING:
    from pillarbox.lib.sieve.run import Run


class TestNode(Protocol):
    """A test, ready to be asked."""

    def holds(self, run: Run) -> bool:
        """Whether it holds now.  Raises RuntimeFault."""
        ...


class CommandNode(Protocol):
    """A command, ready to run."""

    @property
    def line(self) -> int:
        """Where it stands."""
        ...

    def act(self, run: Run) -> None:
        """Do it.  Raises RuntimeFault, and Stop, Return or Break, which end more than the command."""
        ...


Block: TypeAlias = tuple[CommandNode, ...]


class Stop(Exception):
    """`stop`: the end of the run, in whichever script it stands."""


class Return(Exception):
    """`return`: the end of this script (RFC 6609 section 3.3)."""


class Break(Exception):
    """`break`: the end of the loop with this name, "" = the innermost (RFC 5703 section 3.2)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def run_block(block: Block, run: Run) -> None:
    """Run the commands in order."""
    for command in block:
        run.line = command.line
        run.spend(COMMAND)
        command.act(run)
