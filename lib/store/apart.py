"""Calls of stores from an event loop that must go on: at once where nothing is to be waited for, else in a thread.

    copied = await patiently(partial(store.transfer, mailbox, uids, "Archive", move=False))

One call of a session at a time, and no other use of its store meanwhile; the sessions beside it go on.  There are
`THREADS` threads at most in a loop; who finds all of them taken waits in turn, and is told MailboxBusy in the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from pillarbox.lib.store.interface import MailboxBusy, StoreUnavailable
from pillarbox.lib.store.locks import LOCK_TIMEOUT
from pillarbox.lib.store.patience import Later, in_haste, waiting

T = TypeVar("T")

THREADS: Final = 16
"""Calls at once: most of them wait for a lock, which costs nothing but a stack."""
longest = LOCK_TIMEOUT
"""Seconds that a call waits for one lock, and for its turn, at most."""

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def patiently(call: Callable[[], T]) -> T:
    """What `call` gives or raises.  It may be called a second time when it has raised Later."""
    with suppress(Later):
        return in_haste(call)
    return await apart(call)


async def apart(call: Callable[[], T]) -> T:
    """What `call` gives or raises in a thread.  Raises MailboxBusy when there was none for it.

    The call comes to its end also where the task is cancelled; that is waited for.
    """
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(THREADS))
    try:
        async with asyncio.timeout(longest):
            await places.acquire()
    except TimeoutError:
        raise MailboxBusy("too many wait for mailboxes that are in use") from None
    try:
        work = _Work(loop, call)
        del call
        work.begin()
        await to_its_end(work.ended)
        return work.outcome()
    finally:
        places.release()


async def to_its_end(work: asyncio.Future[T]) -> T:
    """The result of work in a thread, which is waited for also where the task is cancelled: it uses a store that must
    not be closed under it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


class _Work(Generic[T]):
    """One call in a thread, which keeps nothing of it alive once it is done."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> None:
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._call = [call]
        self._result: list[T] = []
        self._error: list[BaseException] = []

    def begin(self) -> None:
        """Raises StoreUnavailable."""
        try:
            threading.Thread(target=self._run, name="store", daemon=True).start()
        except RuntimeError as error:
            raise StoreUnavailable(f"no thread to work in: {error}") from error

    def _run(self) -> None:
        try:
            with waiting(longest):
                self._result.append(self._call.pop()())
        except BaseException as error:
            self._error.append(error)
        with suppress(RuntimeError):  # the loop has ended: the process does
            self._loop.call_soon_threadsafe(self.ended.set_result, None)

    def outcome(self) -> T:
        """What the call gave or raises."""
        if self._error:
            raise self._error.pop()
        return self._result.pop()
