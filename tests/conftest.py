"""What all tests share.

Hypothesis has no time limits (machines differ) and no example database in the tree; the state of the test process is
put back after each test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("pillarbox", deadline=None, database=None)
settings.load_profile("pillarbox")

UMASK = 0o022


@pytest.fixture(autouse=True)
def same_process_state() -> Iterator[None]:
    """Programs set their umask at start; a test that runs one in this process must not change it for the next."""
    os.umask(UMASK)
    yield
    os.umask(UMASK)
