"""Calls of stores from an event loop that must go on: at once where nothing is to be waited for, else in a thread.

    copied = await patiently(partial(store.transfer, mailbox, uids, "Archive", move=False))

One call of a session at a time, and no other use of its store meanwhile; the sessions beside it go on.  There are
`THREADS` threads at most in a loop, `OF_ONE` of them for one account (`account`): where all of its sessions wait for
one lock, those of others find a thread.  Who finds none waits in turn, and is told MailboxBusy in the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from pillarbox.lib.store.interface import MailboxBusy, StoreUnavailable
from pillarbox.lib.store.locks import LOCK_TIMEOUT
from pillarbox.lib.store.patience import Later, in_haste, waiting

T = TypeVar("T")

THREADS: Final = 64
"""Calls at once: most of them wait for a lock, which costs nothing but a stack."""
OF_ONE: Final = 8
"""Calls at once for one account."""
longest = LOCK_TIMEOUT
"""Seconds that a call waits for one lock, and for its turn, at most."""

_account: ContextVar[str] = ContextVar("account", default="")


def account(name: str) -> None:
    """Whatever this task calls from here on is for the account of this name."""
    _account.set(name)


class _Places:
    """Those of one loop."""

    def __init__(self) -> None:
        self.all = asyncio.Semaphore(THREADS)
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Semaphore:
        """An account's; there is one while somebody has or wants a place."""
        places = self._of_one.get(name)
        if places is None:
            places = self._of_one[name] = asyncio.Semaphore(OF_ONE)
        return places

    def turn(self, name: str) -> asyncio.Lock:
        """Held by who is at it; `name` is one of this task's account."""
        key = _account.get(), name
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
        return turn


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, _Places] = WeakKeyDictionary()


def _places_here() -> _Places:
    loop = asyncio.get_running_loop()
    places = _places.get(loop)
    if places is None:
        places = _places[loop] = _Places()
    return places


async def patiently(call: Callable[[], T]) -> T:
    """What `call` gives or raises.  It may be called a second time when it has raised Later."""
    with suppress(Later):
        return in_haste(call)
    return await apart(call)


async def aside(call: Callable[[], T]) -> T:
    """As `patiently`, in a thread from the first: for what waits for the disk."""
    with suppress(Later):
        return await to_its_end(asyncio.get_running_loop().run_in_executor(None, in_haste, call))
    return await apart(call)


async def in_turn(name: str, call: Callable[[], T]) -> T:
    """As `aside`, one call after the other for the same `name` of an account.

    Two sessions of one process would find each other's locks, for which a file system can only be asked again and
    again, and each would sync by itself what the disk can write together.
    """
    async with _places_here().turn(name):
        return await aside(call)


async def apart(call: Callable[[], T]) -> T:
    """What `call` gives or raises in a thread.  Raises MailboxBusy when there was none for it.

    The call comes to its end also where the task is cancelled; that is waited for.
    """
    loop = asyncio.get_running_loop()
    places = _places_here()
    async with AsyncExitStack() as held:
        try:
            async with asyncio.timeout(longest):
                await held.enter_async_context(places.of(_account.get()))
                await held.enter_async_context(places.all)
        except TimeoutError:
            raise MailboxBusy("too many wait for mailboxes that are in use") from None
        work = _Work(loop, call)
        del call
        work.begin()
        await to_its_end(work.ended)
        return work.outcome()


async def to_its_end(work: asyncio.Future[T]) -> T:
    """The result of work in a thread, which is waited for also where the task is cancelled, however often: it uses
    a store that must not be closed under it."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return work.result()


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
