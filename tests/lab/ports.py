"""Free places to listen on: single ports, base ports for whole instances, and loopback addresses.

Parallel test workers must not meet, so what is given out is also reserved, by a lock on a file that the operating
system releases when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

LOOPBACK = "127.0.0.1"

# What an instance adds to its base port (the standard port of each service).
SERVICE_PORTS = {
    "lmtp": 24,
    "smtp": 25,
    "http": 80,
    "pop3": 110,
    "imap": 143,
    "submissions": 465,
    "submission": 587,
    "imaps": 993,
    "pop3s": 995,
    "managesieve": 4190,
}

# Below the range from which the kernel takes ports for outgoing connections (32768 and up), above the well-known ones.
_FIRST_BASE, _LAST_BASE, _BASE_STEP = 5000, 28000, 10

_reservations: dict[str, int] = {}


def free_port(address: str = LOOPBACK) -> int:
    """A TCP and UDP port that is free at `address` now."""
    while True:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port: int = probe.getsockname()[1]
        if _free(address, [port], udp=True):
            return port


def base_port(address: str = LOOPBACK) -> int:
    """A base port such that every service port of an instance is free at `address`; reserved for this process."""
    candidates = list(range(_FIRST_BASE, _LAST_BASE, _BASE_STEP))
    random.shuffle(candidates)
    for base in candidates:
        if reserve(f"base-{base}") and _free(address, [base + offset for offset in SERVICE_PORTS.values()]):
            return base
    raise AssertionError("no base port is free on this machine")


def loopback_address() -> str:
    """An address 127.x.y.z that no other test uses; reserved for this process. All of 127/8 is local on Linux."""
    while True:
        address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"
        if reserve(address):
            return address


def reserve(name: str) -> bool:
    """Take `name` for this process; False when another process (or an earlier call here) has it."""
    if name in _reservations:
        return False
    directory = Path(tempfile.gettempdir()) / f"pillarbox-lab-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _reservations[name] = descriptor
    return True


def release(name: str) -> None:
    """Give back what `reserve` took."""
    with contextlib.suppress(KeyError):
        os.close(_reservations.pop(name))


def wait_for_port(address: str, port: int, timeout: float = 30, alive: object = None) -> None:
    """Return when a connection to the port is accepted.

    `alive` may be a process (with `poll()`): when it ends first, that is the error. Raises AssertionError.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError as error:
            poll = getattr(alive, "poll", None)
            if poll is not None and poll() is not None:
                raise AssertionError(f"the server for {address}:{port} ended with status {poll()}") from error
            if time.monotonic() > end:
                raise AssertionError(
                    f"nothing accepts connections on {address}:{port} after {timeout} s: {error}"
                ) from error
        time.sleep(0.01)


def _free(address: str, ports: Iterable[int], udp: bool = False) -> bool:
    kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if udp else [])]
    for port in ports:
        for kind in kinds:
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind((address, port))
                except OSError:
                    return False
    return True
