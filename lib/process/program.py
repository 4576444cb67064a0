"""What a program declares about itself; `PROGRAM` in each `program.py` is such a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.lib.config import Config
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import ServerRole

if TYPE_CHECKING:
    from pillarbox.lib.process.worker import Worker


def _nothing(worker: Worker) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    `owner` names the parameter that names the user to run as; "" keeps the starting user (the root parents).
    `confinement` computes what the process may still reach once it is running; None leaves the process unconfined and
    is for root parents only, which never read an outside byte.
    `prepare` runs after the fork as the starting user: load TLS keys here, open what confinement will forbid.
    `run` runs as the owner, confined, until the worker is told to stop.
    `tls` says how a service of the program uses TLS as a server: master then keeps the keys of its session tickets
    (`worker.tickets`), and starts its processes anew when certificates change.
    `retires` says that the sessions of a process are its clients': where it is replaced while the suite runs, it takes
    no new ones and goes on until the last has ended by itself.
    `callers` names at most two owner parameters: only their users may connect to private sockets of the program, which
    the kernel sees to (file permissions).  Without it all programs of the suite may.
    """

    name: str
    run: Callable[[Worker], None]
    owner: str = "mail_owner"
    confinement: Callable[[Config], Confinement] | None = None
    prepare: Callable[[Worker], None] = _nothing
    callers: tuple[str, ...] = ()
    tls: Callable[[Config], ServerRole | None] | None = None
    retires: bool = False
