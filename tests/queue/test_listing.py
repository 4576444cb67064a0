"""The listing of a long queue: all of it, in slices, with no more in memory than a slice."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.listing import SLICE, entries
from tests.load.backlog import REASON, fill


def test_each_message_of_a_queue_longer_than_a_slice_is_listed_once(tmp_path: Path) -> None:
    queue = Queue(str(tmp_path))
    queue.create()
    ids = fill(tmp_path, 2 * SLICE + 10)
    found = [(entry.queue_id, [waiting.reason for waiting in entry.recipients]) for entry in entries(queue)]
    assert sorted(found) == [(queue_id, [REASON]) for queue_id in sorted(ids)]


def test_a_short_queue_is_listed_in_the_order_of_arrival(tmp_path: Path) -> None:
    queue = Queue(str(tmp_path))
    queue.create()
    ids = fill(tmp_path, SLICE)
    assert [entry.queue_id for entry in entries(queue)] == ids


def test_the_first_message_of_a_long_queue_is_there_before_the_others_are_read(tmp_path: Path) -> None:
    """Counted: a queue ten times as long needs no more memory until its first message and its last."""

    def peak(count: int) -> int:
        directory = tmp_path / str(count)
        queue = Queue(str(directory))
        queue.create()
        fill(directory, count)
        tracemalloc.start()
        try:
            for entry in entries(queue):
                list(entry.recipients)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(10 * SLICE) < 1.2 * peak(SLICE)
