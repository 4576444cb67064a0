"""An administrator moves messages while the queue manager works on them: no file is lost sight of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.queue import Queue
from pillarbox.qmgr import message as module
from pillarbox.qmgr.active import ActiveQueue
from pillarbox.qmgr.message import ActiveMessage, take_up
from tests.commands.queued import put_message


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    found = Queue(str(tmp_path / "spool"))
    found.create()
    return found


def active(queue: Queue) -> ActiveMessage:
    queue_id = put_message(Path(queue.directory), "incoming")
    return take_up(queue, queue_id, "incoming", time.time())


@pytest.mark.parametrize("name", ["hold", "deferred", "incoming", "maildrop"])
def test_a_message_is_removed_wherever_it_was_moved(queue: Queue, name: str) -> None:
    message = active(queue)
    queue.move(message.queue_id, "active", name)
    message.remove()
    assert os.fstat(message.descriptor).st_nlink == 0


def test_a_message_that_moves_on_while_it_is_looked_for_is_found(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    message = active(queue)
    queue.move(message.queue_id, "active", "hold")
    real: Callable[..., os.stat_result] = os.lstat
    moves = iter([("hold", "deferred"), ("deferred", "maildrop"), ("maildrop", "hold")])

    def lstat(path: str) -> os.stat_result:
        # Just before it would be found it is moved to where has been looked already, or to the end.
        if path.split("/")[-2] in ("hold", "deferred", "maildrop") and (move := next(moves, None)) is not None:
            queue.move(message.queue_id, *move)
        return real(path)

    monkeypatch.setattr(module.os, "lstat", lstat)
    message.remove()
    assert os.fstat(message.descriptor).st_nlink == 0


def test_a_message_that_is_gone_is_said_to_be_gone(queue: Queue) -> None:
    message = active(queue)
    os.unlink(message.path)
    with pytest.raises(FileNotFoundError):
        message.remove()


def test_a_file_with_a_name_elsewhere_only_is_not_looked_for_for_ever(queue: Queue) -> None:
    message = active(queue)
    os.rename(message.path, f"{queue.directory}/elsewhere")
    with pytest.raises(FileNotFoundError):
        message.whereabouts()


def test_a_message_that_was_requeued_before_it_could_be_locked_is_not_delivered(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = put_message(Path(queue.directory), "incoming")
    real = module.fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        os.unlink(queue.path("active", queue_id))  # pickup was faster
        real(descriptor, how)

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with pytest.raises(FileNotFoundError):
        take_up(queue, queue_id, "incoming", time.time())


def test_what_was_released_from_hold_in_the_middle_of_an_attempt_is_not_forgotten(queue: Queue) -> None:
    told: list[tuple[str, float]] = []
    config = Config.for_tests(queue_directory=queue.directory)
    messages = ActiveQueue(config, queue, lambda queue_id, when: told.append((queue_id, when)))
    message = active(queue)
    messages.add(message)
    queue.move(message.queue_id, "active", "hold")
    os.utime(queue.path("hold", message.queue_id), (1000, 1000))
    queue.move(message.queue_id, "hold", "deferred")  # postsuper -h, then -H
    messages.forget(message)
    messages.set_aside(message.queue_id, time.time() + 4000)
    assert told == [(message.queue_id, 1000)]


def test_what_is_on_hold_is_not_deferred(queue: Queue) -> None:
    told: list[str] = []
    messages = ActiveQueue(
        Config.for_tests(queue_directory=queue.directory), queue, lambda queue_id, when: told.append(queue_id)
    )
    message = active(queue)
    queue.move(message.queue_id, "active", "hold")
    messages.set_aside(message.queue_id, time.time() + 4000)
    assert told == []
