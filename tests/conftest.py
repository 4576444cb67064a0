"""What all tests share.

Hypothesis has no time limits (machines differ) and no example database in the tree; the state of the test process is
put back after each test.  What collecting has made (some hundred thousand objects that stay) is kept out of the sight
of the garbage collector, so that each look for garbage, also in the processes that tests fork, is a matter of
milliseconds.

Python may write bytecode here, whatever the environment says: the suite is started hundreds of times, and compiling it
is more than half of the work of a start.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("pillarbox", deadline=None, database=None)
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
)
"""Folders whose files take long, most of all because they start whole instances.  They come first, so that in the end
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
    """Programs set their umask at start; a test that runs one in this process must not change it for the next."""
    os.umask(UMASK)
    yield
    os.umask(UMASK)
