"""A broken-in delivery agent keeps a message's descriptor; the file must not be used for another message then."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.cleanup.spares import WORTH_A_SYNC, Spares
from pillarbox.lib.queue import Queue

pytestmark = pytest.mark.usefixtures("opens_files")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Path]:
    Queue(str(tmp_path)).create()
    for number in range(WORTH_A_SYNC):
        (tmp_path / "spare" / f"file{number}").write_bytes(b"an old message\n")
    yield tmp_path


def _take(queue: Path) -> int | None:
    spares = Spares(str(queue))
    spares.refill()
    return spares.take(str(queue / "incoming" / ".new"))


def test_a_file_that_nobody_has_open_is_used(queue: Path) -> None:
    assert _take(queue) is not None


@pytest.mark.parametrize("unlock", [False, True])
def test_a_file_that_is_open_elsewhere_is_not_used_with_or_without_its_lock(queue: Path, unlock: bool) -> None:
    kept = [os.open(path, os.O_RDONLY) for path in (queue / "spare").iterdir()]
    for descriptor in kept:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if unlock:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    assert _take(queue) is None
    assert list((queue / "spare").iterdir()) == [], "such files are deleted by name"
