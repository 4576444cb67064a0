"""A filter on the real libmilter, started and stopped, and what it was told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.ports import LOOPBACK, wait_for_port
from tests.peers.install import peer

_TIMEOUT = 30  # seconds


@dataclass(frozen=True, slots=True)
class Told:
    """One callback of the filter."""

    connection: int
    step: str
    arguments: list[str]
    macros: dict[str, str]


@dataclass(frozen=True, slots=True)
class Running:
    """A running filter."""

    log: Path
    process: subprocess.Popen[bytes]

    def told(self, step: str = "") -> list[Told]:
        """What it was told so far, oldest first; of one step only."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [Told(*json.loads(line)[:4]) for line in lines]
        # Connection 0 is none that has said anything: whether the port is open was tried.
        return [each for each in found if each.connection and (not step or each.step == step)]

    def wait(self, step: str, count: int = 1) -> list[Told]:
        """Wait until it was told of a step so often."""
        deadline = time.monotonic() + _TIMEOUT
        while len(found := self.told(step)) < count:
            assert time.monotonic() < deadline, f"no {step} in {[each.step for each in self.told()]}"
            time.sleep(0.02)
        return found


def _wait_for_socket(path: Path) -> None:
    """Until it is there; then let everybody connect."""
    deadline = time.monotonic() + _TIMEOUT
    while not path.is_socket():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    path.chmod(0o777)


def library() -> Path:
    """Debian's libmilter, which opendkim brings along."""
    return next(peer("opendkim").root.glob("usr/lib/*/libmilter.so.1*"))


@contextmanager
def libmilter(place: int | Path, directory: Path, **script: Any) -> Iterator[Running]:
    """A filter that follows a script (see `filter`) on a port of the loopback address, or on a UNIX socket."""
    log = directory / "milter.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("filter.py")), str(library())]
    endpoint = f"inet:{place}@{LOOPBACK}" if isinstance(place, int) else f"unix:{place}"
    command += [endpoint, json.dumps(script), str(log)]
    with (directory / "milter.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        try:
            if isinstance(place, int):
                wait_for_port(LOOPBACK, place, _TIMEOUT, process)
            else:
                _wait_for_socket(place)
        except AssertionError as error:
            raise AssertionError((directory / "milter.out").read_text()) from error
        yield Running(log, process)
    finally:
        process.kill()  # libmilter takes seconds to stop while any session is open
        process.wait(_TIMEOUT)
        print((directory / "milter.out").read_text())
