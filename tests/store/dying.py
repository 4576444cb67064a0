"""Runs an action in a process that dies at a chosen system call, as SIGKILL would end it there."""

from __future__ import annotations

import os
from collections.abc import Callable

CALLS = (
    "open",
    "write",
    "writev",
    "pwrite",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "fsync",
    "fdatasync",
    "ftruncate",
    "utime",
)
"""The calls that change a file system, where the order of steps matters."""


def dies_at(number: int, action: Callable[[], object]) -> bool:
    """Do `action` in a child that dies before its call `number`; true if the action ended before that.

    Raises AssertionError if the action failed of itself.
    """
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            left = number

            def dying(original: Callable[..., object]) -> Callable[..., object]:
                def call(*arguments: object, **options: object) -> object:
                    nonlocal left
                    if left == 0:
                        os._exit(1)
                    left -= 1
                    return original(*arguments, **options)

                return call

            for name in CALLS:
                setattr(os, name, dying(getattr(os, name)))
            action()
            status = 0
        finally:
            os._exit(status)
    _, raw = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(raw)
    assert status in (0, 1), "the action failed of itself"
    return status == 0
