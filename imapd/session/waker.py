"""When a session in IDLE has something to do: on changes, at intervals, and when the client should hear something."""

from __future__ import annotations

import asyncio

from pillarbox.imapd.session.endings import Woken
from pillarbox.lib.login import ClientConnection


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
        self._woken = False
        self._connection.cancel_interruption(Woken)
