"""What all tests share.

Hypothesis has no time limits (machines differ), no example database in the tree, and the same examples in each run: a
change is judged by the change, and what fails fails again.  `pytest --hypothesis-profile explore` looks for what other
examples find.

The state of the test process is put back after each test.  What collecting has made (some hundred thousand objects that
stay) is kept out of the sight of the garbage collector, so that each look for garbage, also in the processes that tests
fork, is a matter of milliseconds.

No file of tests leaves more open than it found.  Else a worker of pytest-xdist has at last so many files open, so many
threads that wait for something, that tests fail which have nothing to do with it.

Python may write bytecode here, whatever the environment says: the suite is started hundreds of times, and compiling it
is more than half of the work of a start.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

from pillarbox.lib.log import log

settings.register_profile("pillarbox", deadline=None, database=None, derandomize=True)
settings.register_profile("explore", deadline=None, database=None, derandomize=False)
settings.load_profile("pillarbox")

UMASK = 0o022

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


LONG = (
    "e2e",
    "load",
    "crash",
    "clients",
    "lab",
    "master",
    "fuzz",
    "smtp_client",
    "process",
    "smtpd",
    "dialogues",
    "milter",
    "store",
    "breach",
    "mta_sts",
    "imap",
    "commands",
)
"""Folders whose files take long, as they start whole instances or wait.  They come first, so that in the end
there are small files to keep all processes busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(LONG)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_process_state() -> Iterator[None]:
    """Programs set their umask at start, commands say to whom the log goes; a test that runs one in this process must
    not change it for the next."""
    os.umask(UMASK)
    logger = dict(vars(log))
    yield
    vars(log).update(logger)
    os.umask(UMASK)


@pytest.fixture
def opens_files() -> Iterator[None]:
    """For tests that open files by number and leave them to the end of the process, as what they test does."""
    before = _descriptors()
    yield
    for number, what in _descriptors().items():
        if before.get(number) != what and what.startswith("/"):
            os.close(int(number))


SPARE = 12
"""Descriptors that may be more after a file of tests: what is opened once for the process, at its first use."""

PATIENCE = 30
"""Seconds in which threads that were told to end have done so, also on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    before, threads = _descriptors(), set(threading.enumerate())
    yield
    gc.collect()
    left = {number: what for number, what in _descriptors().items() if before.get(number) != what}
    assert len(left) <= SPARE, f"{request.node.nodeid} left open: {sorted(left.values())}"
    deadline = time.monotonic() + PATIENCE
    # A timer waits for nothing but its time.
    running = [each for each in threading.enumerate() if each not in threads and not isinstance(each, threading.Timer)]
    for each in running:
        each.join(max(0.0, deadline - time.monotonic()))
    running = [each for each in running if each.is_alive()]
    assert not running, f"{request.node.nodeid} left running: {running}"


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found
