"""Process trees as /proc shows them: who belongs to a server, how to end exactly those, what they cost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Status:
    """What /proc/PID/stat says of a process (proc(5)); times in seconds, with those of reaped children apart."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    own_time: float
    children_time: float


def in_a_test() -> bool:
    """Whether pytest runs: what a fixture prints is then shown for failed tests only, so servers print their logs."""
    return "PYTEST_CURRENT_TEST" in os.environ


def status(pid: int) -> Status | None:
    """The process's status, None when there is none (any more)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    begin, _, rest = text.partition(" (")
    name, _, rest = rest.rpartition(") ")
    fields = rest.split()
    times = [int(field) / _TICK for field in fields[11:15]]
    return Status(int(begin), name, fields[0], int(fields[1]), int(fields[3]), sum(times[:2]), sum(times[2:]))


def processes() -> list[Status]:
    """All processes of the machine."""
    found = (status(int(entry)) for entry in os.listdir(_PROC) if entry.isdigit())
    return [each for each in found if each is not None]


def tree(root: int) -> list[Status]:
    """The process `root`, its descendants, and the members of a session that it leads; empty when all have ended."""
    every = processes()
    children: dict[int, list[Status]] = defaultdict(list)
    for each in every:
        children[each.parent].append(each)
    found = {each.pid: each for each in every if each.pid == root or each.session == root}
    waiting = list(found)
    while waiting:
        for child in children[waiting.pop()]:
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return list(found.values())


def children(pid: int) -> list[int]:
    """The processes whose parent it is."""
    try:
        return [int(word) for word in (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except OSError:
        return []


def title(pid: int) -> str:
    """What `ps` shows for a process; empty when there is none."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0 ").replace(b"\0", b" ").decode()
    except OSError:
        return ""


def cpu_time(root: int) -> float:
    """Seconds of processor time that the tree of `root` has used, ended and reaped children included."""
    return sum(each.own_time + each.children_time for each in tree(root))


def memory(root: int) -> int:
    """Bytes of memory of the tree of `root` as proportional set size: shared pages count once, split among users."""
    total = 0
    for each in tree(root):
        with contextlib.suppress(OSError):
            for line in (_PROC / str(each.pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def alive(pid: int) -> bool:
    """Whether the process exists and has not ended (a zombie has)."""
    found = status(pid)
    return found is not None and found.state != "Z"


def stop_process(process: subprocess.Popen[bytes], timeout: float) -> None:
    """SIGTERM to a server and wait for it and its descendants; what is left after `timeout` seconds is killed."""
    members = {each.pid for each in tree(process.pid)}
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    end = time.monotonic() + timeout
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout)
    # Those that it started meanwhile; they are known by its session.
    members |= {each.pid for each in tree(process.pid)}
    while time.monotonic() < end and any(map(alive, members)):
        time.sleep(0.01)
    for pid in members:
        if alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    while any(map(alive, members)):
        time.sleep(0.005)


def end_tree(root: int) -> None:
    """SIGKILL to a process and all that belong to it; none can start another meanwhile, they are halted first."""
    halted: set[int] = set()
    while fresh := {each.pid for each in tree(root)} - halted:
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        halted |= fresh
    for pid in halted:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while any(map(alive, halted)):
        time.sleep(0.005)
