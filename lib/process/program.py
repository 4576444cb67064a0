"""What a program declares about itself; `PROGRAM` in each `program.py` is such a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.lib.config import Config
from pillarbox.lib.system.confinement import Confinement

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
    `callers` names at most two owner parameters: only their users may connect to private sockets of the program, which
    the kernel sees to (file permissions).  Without it all programs of the suite may.
    """

    name: str
    run: Callable[[Worker], None]
    owner: str = "mail_owner"
    confinement: Callable[[Config], Confinement] | None = None
    prepare: Callable[[Worker], None] = _nothing
    callers: tuple[str, ...] = ()
