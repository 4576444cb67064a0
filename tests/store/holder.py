"""Locks that a foreign program holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Kind = Literal["dot", "flock", "fcntl"]

_PROGRAM = """
import fcntl, os, sys
kind, path = sys.argv[1:]
if kind == "dot":
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, f"{os.getpid()}:{os.uname().nodename}\\n".encode())
else:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    (fcntl.flock if kind == "flock" else fcntl.lockf)(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
if kind == "dot":
    os.unlink(path)
"""


@contextmanager
def held(kind: Kind, path: str | os.PathLike[str]) -> Iterator[None]:
    """Another process holds the lock: the file `path` itself, or, a dot lock, `path`.lock."""
    name = f"{path}.lock" if kind == "dot" else os.fspath(path)
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, kind, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n", "the lock could not be taken"
        try:
            yield
        finally:
            program.communicate()
