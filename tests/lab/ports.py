"""Free places to listen on: single ports, base ports for whole instances, and loopback addresses.

Parallel test workers must not meet, also not while a server is stopped that will start again.  So what is given out is
reserved, by a lock that the operating system releases when the process ends, however it ends; and no port is one that
the kernel gives to outgoing connections, which would take it away, or be connected with itself where nobody listens.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
import zlib
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
# A single port is above every base port, so that master.yaml can name it: there ports count from the base port.
_FIRST, _LAST_BASE, _FIRST_SINGLE, _LAST = 5000, 20000, 20001, 32767

# Base ports are multiples of this: divided by it no two service ports leave the same rest, so that no port of one
# instance is one of another's.  The rests that are left over are those of single ports.
_STEP = 18
_SERVICE_RESTS = {port % _STEP for port in SERVICE_PORTS.values()}

_reserved: set[str] = set()
_locks = -1  # the file whose bytes are locked


def free_port(address: str = LOOPBACK) -> int:
    """A TCP and UDP port that is free at `address` now; reserved for this process."""
    while True:
        port = random.randint(_FIRST_SINGLE, _LAST)
        if port % _STEP not in _SERVICE_RESTS and reserve(f"port-{port}") and _free(address, [port], udp=True):
            return port


def base_port(address: str = LOOPBACK) -> int:
    """A base port such that every service port of an instance is free at `address`; reserved for this process."""
    candidates = [base for base in range(0, _LAST_BASE, _STEP) if base >= _FIRST]
    random.shuffle(candidates)
    for base in candidates:
        if reserve(f"base-{base}") and _free(address, [base + offset for offset in SERVICE_PORTS.values()]):
            return base
    raise AssertionError("no base port is free on this machine")


def give_back(base: int) -> None:
    """The instance that had this base port is gone."""
    release(f"base-{base}")


def loopback_address() -> str:
    """An address 127.x.y.z that no other test uses; reserved for this process. All of 127/8 is local on Linux."""
    while True:
        address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"
        if reserve(address):
            return address


def reserve(name: str) -> bool:
    """Take `name` for this process; False when another process (or an earlier call here) has it."""
    global _locks
    if name in _reserved:
        return False
    if _locks < 0:
        path = Path(tempfile.gettempdir()) / f"pillarbox-lab-{os.getuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        _locks = os.open(path / "reservations", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Locks of this kind belong to a process, not to the open file: children that it forks do not hold them.
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
    except OSError:
        return False
    _reserved.add(name)
    return True


def release(name: str) -> None:
    """Give back what `reserve` took."""
    if name in _reserved:
        _reserved.discard(name)
        fcntl.lockf(_locks, fcntl.LOCK_UN, 1, _place(name))


def _place(name: str) -> int:
    """Which byte stands for a name.  Where two have the same, the second seems to be taken, which does no harm."""
    return zlib.crc32(name.encode())


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
