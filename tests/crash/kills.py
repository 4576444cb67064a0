"""Who is killed, when, and what he had in hand."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

from tests.crash.accounting import Kill
from tests.crash.test_kill import workers
from tests.lab.crowd import Counts, Crowd
from tests.lab.instance import Instance
from tests.lab.processes import status

_ESTABLISHED_OR_ENDING = frozenset(("01", "04", "05", "08", "09", "0B"))
"""States of connections in /proc/net/tcp whose process may still wait for a reply."""


def _saw(of: Callable[[Counts], int]) -> Callable[[Counts, Counts], bool]:
    return lambda before, now: of(now) > of(before)


PHASES: dict[str, Callable[[Counts, Counts], bool]] = {
    "at any time": lambda before, now: True,
    "a connection was made": _saw(lambda counts: counts.connections),
    "a message was answered": _saw(lambda counts: counts.messages),
    "a reply was lost": _saw(lambda counts: counts.lost_replies),
    "something was refused": _saw(lambda counts: counts.refused),
}
_PHASE_TIME = 0.5


class Killer:
    """Kills by chance, but at chosen moments."""

    def __init__(self, instance: Instance, crowd: Crowd, chance: random.Random) -> None:
        self._instance, self._crowd, self._chance = instance, crowd, chance
        self.kills: list[Kill] = []

    def one(self) -> None:
        """Wait for a moment, and kill one worker."""
        before = self._crowd.counts()
        phase = PHASES[self._chance.choice(sorted(PHASES))]
        end = time.monotonic() + _PHASE_TIME
        while not phase(before, counts := self._crowd.counts()) and time.monotonic() < end:
            time.sleep(0.001)
        candidates = workers(self._instance)
        programs = sorted({program for _, program in candidates})
        if not programs:
            return
        program = self._chance.choice([*programs, "smtp_client", "qmgr"])
        pids = [pid for pid, each in candidates if each == program]
        if pids and (kill := _kill(program, self._chance.choice(pids), counts.open)) is not None:
            self.kills.append(kill)

    def all(self) -> None:
        """Kill everything, master included, and start again."""
        under_way = self._crowd.counts().open
        begun = time.monotonic()
        self._instance.kill()
        self.kills.append(Kill("all", 0, begun, time.monotonic(), under_way=under_way))
        self._instance.start()


def _kill(program: str, pid: int, under_way: int) -> Kill | None:
    """Kill a process; None where it has ended by itself."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        begun = time.monotonic()
        connections: frozenset[tuple[str, int]] = frozenset()
        if program == "smtp_client":
            # Halted first, so that what it has is what it had.
            signal.pidfd_send_signal(end, signal.SIGSTOP)
            while (found := status(pid)) is not None and found.state not in "TZX":
                time.sleep(0.0005)
            connections = _connections(pid)
        signal.pidfd_send_signal(end, signal.SIGKILL)
        select.select([end], [], [])
    except ProcessLookupError:
        return None
    finally:
        os.close(end)
    return Kill(program, pid, begun, time.monotonic(), connections, under_way)


def _connections(pid: int) -> frozenset[tuple[str, int]]:
    """The TCP connections of a process: the peer's IPv4 address, and the own port."""
    own = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                own.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    found = set()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/net/tcp") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] in _ESTABLISHED_OR_ENDING and f"socket:[{fields[9]}]" in own:
                peer, port = fields[2].split(":")[0], int(fields[1].split(":")[1], 16)
                found.add((socket.inet_ntoa(struct.pack("=I", int(peer, 16))), port))
    return frozenset(found)
