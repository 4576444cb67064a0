"""Being told by PostgreSQL that a mailbox has changed, on this node or another (LISTEN, NOTIFY).

One connection of a process listens for all of its sessions that idle, in a thread of its own; each session waits for a
descriptor (eventfd(2)).  It becomes readable when the mailbox has changed, and whenever something may have been missed:
when listening begins, when the connection is lost, and at each attempt to connect again.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import Final

from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.sql.connection import Connection

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts to connect again."""
_CHECK: Final = 240.0
"""Seconds after which a quiet connection is tried: so long do firewalls remember it."""
_NOTED: Final = 100
"""Notifications that pg8000 keeps between two looks; where there were so many, some may be lost."""


class Waiting:
    """Who waits for what."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[int, int]] = {}  # channel -> descriptor -> mailbox
        self._listening: set[str] = set()
        self._thread: threading.Thread | None = None
        self._wake = -1

    def add(self, channel: str, mailbox: int) -> int:
        """A descriptor for a mailbox; the channel is a name of letters, digits and `_`."""
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        with self._lock:
            self._waiting.setdefault(channel, {})[fd] = mailbox
            if channel in self._listening:
                _signal(fd)
            if self._thread is None:
                self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._thread = threading.Thread(target=self._run, name="pgsql-waiting", daemon=True)
                self._thread.start()
            _signal(self._wake)
        return fd

    def remove(self, fd: int) -> None:
        """Close a descriptor."""
        with self._lock:
            for channel, waiting in list(self._waiting.items()):
                if waiting.pop(fd, None) is not None:
                    os.close(fd)
                    if not waiting:
                        del self._waiting[channel]
                        _signal(self._wake)
                    return

    def close(self) -> None:
        """End the thread; the descriptors stay until they are removed."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                _signal(self._wake)
        if thread is not None:
            thread.join()

    # --- the thread
    def _run(self) -> None:
        pause = _FIRST_PAUSE
        wake = self._wake
        while True:
            connection: Connection | None = None
            try:
                connection = self._connect()
                connection.unbuffered()
                pause = _FIRST_PAUSE
                if not self._serve(connection, wake):
                    break
            except StoreError:
                pass  # sessions say what they meet when they look
            finally:
                with self._lock:
                    self._listening.clear()
                    for waiting in self._waiting.values():
                        for fd in waiting:
                            _signal(fd)  # until then each looks for itself
                if connection is not None:
                    connection.close()
            if not self._pause(wake, pause):
                break
            pause = min(pause * 2, _LONGEST_PAUSE)
        os.close(wake)

    def _pause(self, wake: int, seconds: float) -> bool:
        """Wait; false when it is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.select(seconds)
        with self._lock:
            return self._thread is not None

    def _serve(self, connection: Connection, wake: int) -> bool:
        """Listen until told to stop, which gives false.  Raises StoreError."""
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.register(connection.fileno(), selectors.EVENT_READ)
            while True:
                with self._lock:
                    if self._thread is None:
                        return False
                    wanted, known = set(self._waiting), set(self._listening)
                for channel in sorted(known - wanted):
                    connection.simple(f"UNLISTEN {channel}")
                for channel in sorted(wanted - known):
                    connection.simple(f"LISTEN {channel}")
                if wanted == known:
                    connection.simple("")  # notifications come with the answer
                self._tell(connection.notifications(), wanted, wanted - known)
                if wake in {key.fd for key, _ in selector.select(_CHECK)}:
                    _drain(wake)

    def _tell(self, notifications: list[tuple[str, str]], listening: set[str], fresh: set[str]) -> None:
        everything = len(notifications) >= _NOTED
        with self._lock:
            self._listening = listening
            for channel, waiting in self._waiting.items():
                if channel not in listening:
                    continue
                told = {text for name, text in notifications if name == channel}
                for fd, mailbox in waiting.items():
                    if everything or channel in fresh or str(mailbox) in told:
                        _signal(fd)


def _signal(fd: int) -> None:
    try:
        os.eventfd_write(fd, 1)
    except BlockingIOError:
        pass  # it is readable already


def _drain(fd: int) -> None:
    try:
        os.eventfd_read(fd)
    except BlockingIOError:
        pass
