"""What commands share that ask a service for the owner of the queue: who may, and what is said where it is away."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY


def owner_only(program: str, config: Config, act: Callable[[], int]) -> int:
    """The exit status of `act`, for the superuser and the owner of the queue; 75 where it raises ServiceUnavailable."""
    owner = os.stat(config[QUEUE_DIRECTORY]).st_uid
    if os.geteuid() not in (0, owner):
        return problem(program, "this is reserved for the superuser and the owner of the queue", os.EX_NOPERM)
    try:
        return act()
    except ServiceUnavailable as error:
        return problem(program, f"{error.reason}; is the mail system running?  See pillarbox status", os.EX_TEMPFAIL)


def problem(program: str, text: str, status: int) -> int:
    """Say what is wrong; gives the status back."""
    print(f"{program}: {text}", file=sys.stderr)
    return status
