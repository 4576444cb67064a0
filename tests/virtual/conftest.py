"""What ends with each test: the open files of the queue that requests have, and the services of agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

AT_THE_END: list[Callable[[], object]] = []
"""Called when the test is over."""


@pytest.fixture(autouse=True)
def everything_ends() -> Iterator[None]:
    yield
    while AT_THE_END:
        AT_THE_END.pop()()
