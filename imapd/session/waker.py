"""When a session in IDLE has something to do: on changes, at intervals, and when the client should hear something."""

from __future__ import annotations

import asyncio
from typing import Final

from pillarbox.imapd.session.endings import Woken
from pillarbox.lib.login import ClientConnection

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds from a look that failed to the next one."""


class IdleWaker:
    """Interrupts the read under way on `connection` by `Woken`; at least every `speak_every` seconds."""

    def __init__(self, connection: ClientConnection, speak_every: float) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._speak_every = speak_every
        self._look_every = speak_every
        self._speak_at = self._loop.time() + speak_every
        self._timer = self._loop.call_later(speak_every, self._tick)
        self._woken = False
        self._pause = _FIRST_PAUSE
        self._again: asyncio.TimerHandle | None = None

    def look_every(self, interval: float) -> None:
        """Wake at intervals."""
        self._look_every = min(interval, self._speak_every)
        self._timer.cancel()
        self._timer = self._loop.call_later(self._look_every, self._tick)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._look_every, self._tick)
        self.wake()

    def wake(self) -> None:
        """Something happened; the session looks once, however often this is called before."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._interrupt)

    def look_again(self) -> None:
        """A look has failed, and what there was to see may be announced no more: wake in a while."""
        if self._again is None:
            self._again = self._loop.call_later(self._pause, self._retry)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _retry(self) -> None:
        self._again = None
        self.wake()

    def looked(self) -> None:
        """A look has told everything."""
        self._pause = _FIRST_PAUSE

    def _interrupt(self) -> None:
        if self._woken:
            self._woken = False
            self._connection.interrupt(Woken(), replace=False)

    def time_to_speak(self) -> bool:
        """Whether the client has heard nothing for long enough."""
        if self._loop.time() < self._speak_at:
            return False
        self._speak_at = self._loop.time() + self._speak_every
        return True

    def close(self) -> None:
        """IDLE is over."""
        self._timer.cancel()
        if self._again is not None:
            self._again.cancel()
        self._woken = False
        self._connection.cancel_interruption(Woken)
