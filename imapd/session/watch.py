"""Being told when files change (inotify(7)), so that IDLE need not look.

One descriptor serves all sessions of a process.  Where the kernel has no watches left (or no inotify at all), `watch`
says so by its result and the caller looks at intervals.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterable

_MODIFY, _CLOSE_WRITE, _MOVED, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF, _ATTRIB = (
    0x2, 0x8, 0xC0, 0x100, 0x200, 0x400, 0x800, 0x4,
)  # fmt: skip
_MASK = _MODIFY | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_IGNORED = 0x8000
_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")

Callback = Callable[[], None]


class Watcher:
    """The watches of one process; lives on the running loop."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[int, list[Callback]] = {}  # watch descriptor -> who is to be told
        self._fd = -1
        try:
            self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            return
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._read)

    def watch(self, paths: Iterable[str], callback: Callback) -> Callable[[], None] | None:
        """Call `callback` when something at `paths` changes; gives what ends that, or None where it is not possible."""
        numbers: list[int] = []

        def end() -> None:
            for number in numbers:
                self._remove(number, callback)

        for path in paths:
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK) if self._fd >= 0 else -1
            if number < 0:
                end()
                return None
            self._callbacks.setdefault(number, []).append(callback)
            numbers.append(number)
        return end

    def watch_fd(self, fd: int, callback: Callback) -> Callable[[], None]:
        """The same for a descriptor that becomes readable (`Mailbox.watch_fd`), which nobody else watches."""

        def readable() -> None:
            try:
                os.read(fd, 8)
            except BlockingIOError:
                return
            callback()

        def end() -> None:
            self._loop.remove_reader(fd)

        self._loop.add_reader(fd, readable)
        return end

    def _remove(self, number: int, callback: Callback) -> None:
        callbacks = self._callbacks.get(number)
        if callbacks is None:
            return
        if callback in callbacks:
            callbacks.remove(callback)
        if not callbacks:
            del self._callbacks[number]
            self._libc.inotify_rm_watch(self._fd, number)

    def drain(self) -> None:
        """Take in what the kernel has told so far, without waiting for the loop's next round."""
        if self._fd >= 0:
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            return
        told: set[int] = set()
        position = 0
        while position + _EVENT.size <= len(data):
            number, mask, _, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size + length
            if mask & _OVERFLOW:  # something was not told: it may concern everybody
                for callback in [each for callbacks in self._callbacks.values() for each in callbacks]:
                    callback()
            if number not in told:
                told.add(number)
                for callback in tuple(self._callbacks.get(number, ())):
                    callback()
            if mask & _IGNORED:
                self._callbacks.pop(number, None)

    def close(self) -> None:
        """End all watches."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
