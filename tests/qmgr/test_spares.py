"""The queue manager keeps small files that are done, some of them, for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pillarbox.lib.queue import Envelope, Queue, Recipient, compose_header, encode_id
from pillarbox.lib.queue.file import HEADER_SIZE, first_line
from pillarbox.qmgr.message import ActiveMessage, take_up
from pillarbox.qmgr.spares import AGE_LIMIT, COUNT_LIMIT, SIZE_LIMIT, Spares


def active_message(queue: Queue, size: int = 100, number: int = 1) -> ActiveMessage:
    header, offset = compose_header(Envelope("", (Recipient("b@example.net"),), time.time()))
    queue_id = encode_id(time.time_ns() // 1000, number)
    path = Path(queue.path("incoming", queue_id))
    path.write_bytes(first_line(offset, size, 1) + header[HEADER_SIZE:] + b"x" * size)
    return take_up(queue, queue_id, "incoming", time.time())


def made(directory: Path) -> Queue:
    queue = Queue(str(directory))
    queue.create()
    return queue


def test_a_small_file_is_kept(tmp_path: Path) -> None:
    queue = made(tmp_path)
    message = active_message(queue)
    assert Spares(queue).keep(message)
    assert (tmp_path / "spare" / message.queue_id).exists()
    assert not (tmp_path / "active" / message.queue_id).exists()
    message.close()


def test_a_large_file_is_not(tmp_path: Path) -> None:
    queue = made(tmp_path)
    message = active_message(queue, SIZE_LIMIT)
    assert not Spares(queue).keep(message)
    assert (tmp_path / "active" / message.queue_id).exists()
    message.close()


def test_no_more_than_the_limit_are_kept(tmp_path: Path) -> None:
    queue = made(tmp_path)
    for number in range(COUNT_LIMIT):
        (tmp_path / "spare" / f"x{number}").touch()
    message = active_message(queue)
    assert not Spares(queue).keep(message)
    message.close()


def test_what_cleanup_has_taken_makes_room_again(tmp_path: Path) -> None:
    queue = made(tmp_path)
    now = [1000.0]
    spares = Spares(queue, lambda: now[0])
    for number in range(COUNT_LIMIT):
        (tmp_path / "spare" / f"x{number}").touch()
    first = active_message(queue, number=1)
    assert not spares.keep(first)
    for path in (tmp_path / "spare").iterdir():
        path.unlink()
    now[0] += 1
    assert spares.keep(first)
    first.close()


def test_what_lies_unused_is_deleted(tmp_path: Path) -> None:
    queue = made(tmp_path)
    (tmp_path / "spare" / "old").touch()
    Spares(queue, time.time).trim()
    assert os.listdir(tmp_path / "spare") == ["old"]
    Spares(queue, lambda: time.time() + AGE_LIMIT + 1).trim()
    assert os.listdir(tmp_path / "spare") == []
