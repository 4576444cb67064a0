"""Address racing, "Happy Eyeballs" (RFC 8305): addresses are tried one after another, but not each to its bitter end.

Where one has neither answered nor failed within a quarter of a second the next is tried beside it.  The first to
answer wins, the others are given up.  What order they have is the caller's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class NobodyAnswers(Exception):
    """Every attempt has failed; each was reported before."""


async def first_to_answer(
    servers: Sequence[S],
    dial: Callable[[S], Coroutine[Any, Any, T]],
    delay: float,
    *,
    failed: Callable[[S, Exception], None],
    hang_up: Callable[[T], None],
) -> tuple[S, T]:
    """The first server for which `dial` gives something, and that.

    `dial` fails with OSError or TimeoutError, which is reported to `failed`; with another error all attempts end.
    `hang_up` gets what an attempt that came second has given.  With a `delay` of 0 there is one attempt at a time.
    Raises NobodyAnswers.
    """
    if len(servers) == 1 or delay <= 0:
        for server in servers:
            try:
                return server, await dial(server)
            except (OSError, TimeoutError) as error:
                failed(server, error)
        raise NobodyAnswers
    ahead = deque(servers)
    running: dict[asyncio.Task[T], S] = {}
    try:
        while ahead or running:
            if ahead:
                server = ahead.popleft()
                running[asyncio.create_task(dial(server))] = server
            await asyncio.wait(running, timeout=delay if ahead else None, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:  # in the order in which they began
                server = running.pop(task)
                try:
                    return server, task.result()
                except (OSError, TimeoutError) as error:
                    failed(server, error)
        raise NobodyAnswers
    finally:
        await _give_up(running, hang_up)


async def _give_up(running: dict[asyncio.Task[T], S], hang_up: Callable[[T], None]) -> None:
    for task in running:
        task.cancel()
    waited: list[Awaitable[T]] = list(running)
    for outcome in await asyncio.gather(*waited, return_exceptions=True) if waited else ():
        if not isinstance(outcome, BaseException):
            hang_up(outcome)
