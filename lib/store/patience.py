"""How long a call of a store may wait for others, or work: as it likes, or not at all where an event loop calls it.

A process that serves many from one event loop calls `in_haste` first.  Whatever finds that it would have to wait for
another process's lock, or to work for long, then raises `Later`, before it has changed anything, and the caller does
the same call again in a thread (`apart`), where it may take its time.  A call that has begun to change something says
so by `begun`: from there it waits where it is, for a moment.

Nobody who is not asked for haste pays: the question comes up only where there is something to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, TypeVar

from pillarbox.lib.store.interface import MailboxBusy

T = TypeVar("T")

IN_PLACE: Final = 5.0
"""Seconds for which an event loop stands still at most, where a call can neither be left nor begun again: more than the
look at a large mailbox takes that another process, or a thread of this one, may just be at."""
_OPTIONAL: Final = 0.02
"""Seconds that are worth waiting for what may as well be left undone."""


class Later(MailboxBusy):
    """The call would have to wait or to work for long, and has changed nothing yet."""


_patience: ContextVar[float | None] = ContextVar("patience", default=None)
"""Seconds to wait for a lock at most; None: as long as the lock's own limit says."""


def hasty() -> bool:
    """Whether nothing may be waited for."""
    return _patience.get() == 0


def limit(timeout: float) -> float:
    """Seconds to wait for a lock that may be waited for `timeout` seconds."""
    patience = _patience.get()
    return timeout if patience is None else min(timeout, patience)


def busy(text: str) -> MailboxBusy:
    """What to raise when that time is over."""
    return Later(text) if hasty() else MailboxBusy(text)


def give_way() -> None:
    """What follows takes long, and nothing is changed yet.  Raises Later where the caller is in haste."""
    if hasty():
        raise Later("this takes long")


def begun() -> None:
    """The call changes something from here on, and must come to its end."""
    if hasty():
        _patience.set(IN_PLACE)  # until the call's end


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Within, no lock is waited for longer than that;
    0: as `in_haste`."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def in_haste(call: Callable[[], T]) -> T:
    """What `call` gives or raises; nothing is waited for, and no long work begun, but Later raised."""
    before = _patience.set(0)
    try:
        return call()
    finally:
        _patience.reset(before)


def optional() -> AbstractContextManager[None]:
    """Within is what may as well be left undone: an event loop does not wait for it."""
    return nullcontext() if _patience.get() is None else waiting(_OPTIONAL)


def in_place() -> None:
    """Whatever this task calls from here on holds up an event loop."""
    _patience.set(IN_PLACE)
