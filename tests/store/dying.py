"""Runs an action in a process that dies at a chosen system call, as SIGKILL would end it there.

What SQLite does in a statement is not seen from here: there the process dies before a statement, or in the middle.
With PostgreSQL and object storage it dies before it sends something.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from pillarbox.lib.store.sql.connection import Connection
from pillarbox.lib.store.sql.objects import Objects

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


STEPS = 100
"""Instructions of SQLite's machine between two places in a statement where the process may die."""


def dies_at(number: int, action: Callable[[], object]) -> bool:
    """Do `action` in a child that dies before its call `number`; true if the action ended before that.

    Raises AssertionError if the action failed of itself.
    """
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            left = number

            def step(*_: object) -> int:
                nonlocal left
                if left == 0:
                    os._exit(1)
                left -= 1
                return 0

            def dying(original: Callable[..., object]) -> Callable[..., object]:
                def call(*arguments: object, **options: object) -> object:
                    step()
                    return original(*arguments, **options)

                return call

            def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
                connection = opened(*arguments, **options)
                connection.set_trace_callback(step)
                connection.set_progress_handler(step, STEPS)
                return connection

            for name in ("query", "simple"):
                setattr(Connection, name, dying(getattr(Connection, name)))
            for name in ("put", "get", "delete"):
                setattr(Objects, name, dying(getattr(Objects, name)))
            opened = sqlite3.connect
            sqlite3.connect = connect  # type: ignore[assignment]

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
