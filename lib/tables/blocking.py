"""Tables that ask another process, inside a program that must not wait.

An event-driven program first asks without permission to wait: a table that has no answer at hand raises `WouldBlock`.
The program then asks again from a thread, inside `waiting_allowed()`.  Look-ups change nothing, so that asking twice
is harmless; answers at hand cost no thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class WouldBlock(Exception):
    """The answer needs a wait that the caller has not allowed; ask again inside `waiting_allowed`."""


class _State(threading.local):
    allowed = False


_state = _State()


@contextlib.contextmanager
def waiting_allowed() -> Iterator[None]:
    """Look-ups of this thread may wait."""
    before = _state.allowed
    _state.allowed = True
    try:
        yield
    finally:
        _state.allowed = before


def about_to_wait() -> None:
    """A table calls this before it asks another process.  Raises WouldBlock."""
    if not _state.allowed:
        raise WouldBlock
