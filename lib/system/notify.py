"""Telling the service manager how we are: the sd_notify(3) protocol.

Promises: without NOTIFY_SOCKET every call does nothing; a service manager that does not answer never stops us.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class Notifier:
    """One service manager connection, taken from the environment or given.

    `clock` gives CLOCK_MONOTONIC in nanoseconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._clock = clock
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.watchdog_interval = _watchdog_interval(environment)

    def send(self, *assignments: str) -> bool:
        """Send `NAME=value` lines; False where nobody took them."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the socket, as a child of the process that the manager knows must."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str = "") -> bool:
        """All services accept connections (also the end of a reload)."""
        return self.send("READY=1", *_status(status))

    def reloading(self) -> bool:
        """A reload begins; `ready` must follow.  The manager wants the time with it (Type=notify-reload)."""
        return self.send("RELOADING=1", f"MONOTONIC_USEC={self._clock() // 1000}")

    def stopping(self, status: str = "") -> bool:
        """The drain begins."""
        return self.send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self.send(*_status(text))

    def watchdog(self) -> bool:
        """We are alive; due at least every `watchdog_interval` seconds."""
        return self.send("WATCHDOG=1")


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={text.splitlines()[0]}",) if text else ()


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Half of the time after which the manager takes us for dead, in seconds; None where nobody watches."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 2_000_000 or None
