"""What a program declares about itself; `PROGRAM` in each `program.py` is such a value."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.lib.config import Config
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import ServerRole

if TYPE_CHECKING:
    from pillarbox.lib.process.worker import Worker


def _nothing(worker: Worker) -> None:
    pass


def _none(config: Config) -> Iterable[str]:
    return ()


def _never(config: Config) -> bool:
    return False


def _always(config: Config) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    `owner` names the parameter that names the user to run as; "" keeps the starting user (the root parents).
    `confinement` computes what the process may still reach once it is running; None leaves the process unconfined and
    is for root parents only, which never read an outside byte.
    `parent` says of a configuration that it makes the program a root parent, whose children do the work: `owner` and
    `confinement` then do not hold for it.  Where the suite does not run as root they hold all the same.
    `prepare` runs after the fork as the starting user: load TLS keys here, open what confinement will forbid.
    `run` runs as the owner, confined, until the worker is told to stop.
    `tls` says how a service of the program uses TLS as a server: master then keeps the keys of its session tickets
    (`worker.tickets`), and starts its processes anew when certificates change.
    `tables` says which tables a process reads in `prepare` and keeps (lib/tables/kept.py), by the parameter that lists
    them: master starts processes anew when their files change.
    `retires` says that the sessions of a process are its clients': where it is replaced while the suite runs, it takes
    no new ones and goes on until the last has ended by itself.
    `callers` names at most two owner parameters, in any order: only their users may connect to private sockets of the
    program, which the kernel sees to (file permissions).  Without it all programs of the suite may.
    `needed` says whether the configuration gives the program anything to do.  Where it does not, no process is kept
    warm; one that is asked all the same is started then.
    `mistakes` gives a line for each mistake in the configuration of one of its services that only the program itself
    can know; `pillarbox check` prints them.  It may read files, and has no other effect.
    `obstacles` gives a line for each reason why `prepare` would fail with the configuration of a service: a reload that
    would end its processes without new ones in their place is refused, with these lines.  They are mistakes as well.
    """

    name: str
    run: Callable[[Worker], None]
    owner: str = "mail_owner"
    confinement: Callable[[Config], Confinement] | None = None
    parent: Callable[[Config], bool] = _never
    prepare: Callable[[Worker], None] = _nothing
    callers: tuple[str, ...] = ()
    tls: Callable[[Config], ServerRole | None] | None = None
    tables: Callable[[Config], Mapping[str, tuple[str, ...]]] | None = None
    retires: bool = False
    needed: Callable[[Config], bool] = _always
    mistakes: Callable[[Config], Iterable[str]] = _none
    obstacles: Callable[[Config], Iterable[str]] = _none

    def __post_init__(self) -> None:
        """Raises ValueError for more callers than file permissions can tell apart."""
        if len(set(self.callers)) > 2:
            raise ValueError(f"{self.name}: at most two callers can be told apart from the others")


def load_program(command: str) -> Program:
    """The program that a service names.  Master and `pillarbox check` alone find programs by name."""
    program = importlib.import_module(f"pillarbox.{command}.program").PROGRAM
    assert isinstance(program, Program)
    return program
