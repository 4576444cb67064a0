"""A queue that was copied: it is noticed, and what was lost is put right, so that no id is ever used twice."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from pillarbox.lib.queue import Queue, Recipient, decode_id, encode_id, relocation
from pillarbox.lib.queue.listing import FORCED_EXPIRE
from pillarbox.lib.queue.outcomes import DELAYED, Outcome, append, log_path
from tests.commands.queued import put_message

BOB = Recipient("b@y.test")


def interval(age: float) -> float:
    return min(max(age, 300), 4000)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    place = tmp_path / "spool"
    Queue(str(place)).create()
    relocation.remember(Queue(str(place)))
    return place


def copied(spool: Path, target: str = "copy", **how: object) -> Queue:
    place = spool.parent / target
    shutil.copytree(spool, place, **how)  # type: ignore[arg-type]
    return Queue(str(place))


def note(spool: Path, queue_id: str, when: float) -> None:
    descriptor = os.open(log_path(str(spool), "defer", queue_id), os.O_WRONLY | os.O_CREAT, 0o600)
    append(descriptor, [Outcome(BOB, 0, DELAYED, "4.4.1", "down", when)])
    os.close(descriptor)


def due(queue: Queue, queue_id: str) -> float:
    return os.stat(queue.path("deferred", queue_id)).st_mtime


def test_a_queue_that_stays_is_not_looked_at(spool: Path) -> None:
    assert not relocation.moved(Queue(str(spool)))


def test_a_copy_is_noticed_once(spool: Path) -> None:
    queue = copied(spool)
    assert relocation.moved(queue)
    relocation.remember(queue)
    assert not relocation.moved(queue)


def test_a_queue_without_a_mark_counts_as_moved(spool: Path) -> None:
    (spool / relocation.MARK).unlink()
    assert relocation.moved(Queue(str(spool)))


def test_a_lost_time_of_the_next_attempt_comes_back(spool: Path) -> None:
    now = time.time()
    queue_id = put_message(spool, "deferred", arrival=now - 2000)
    note(spool, queue_id, now - 600)
    os.utime(spool / "deferred" / queue_id, (now + 800, now + 800))
    queue = copied(spool, copy_function=shutil.copyfile)  # as cp without -p
    assert due(queue, queue_id) <= time.time()
    assert relocation.put_right(queue, time.time(), interval).times == 1
    assert due(queue, queue_id) == pytest.approx(now - 600 + 1400)


def test_a_time_that_was_kept_stays(spool: Path) -> None:
    queue_id = put_message(spool, "deferred", arrival=time.time() - 2000)
    now = time.time()
    note(spool, queue_id, now - 600)
    os.utime(spool / "deferred" / queue_id, (now + 77, now + 77))
    queue = copied(spool)
    assert relocation.put_right(queue, now, interval).times == 0
    assert due(queue, queue_id) == pytest.approx(now + 77)


@pytest.mark.parametrize("tried", [None, 5000])
def test_what_is_due_by_its_schedule_or_was_never_tried_is_due(spool: Path, tried: float | None) -> None:
    now = time.time()
    queue_id = put_message(spool, "deferred", arrival=now - 6000)
    if tried is not None:
        note(spool, queue_id, now - tried)
    queue = copied(spool, copy_function=shutil.copyfile)
    assert relocation.put_right(queue, time.time(), interval).times == 0
    assert due(queue, queue_id) <= time.time()


def test_directories_that_the_copy_left_out_are_made(spool: Path) -> None:
    queue = copied(spool, ignore=shutil.ignore_patterns("private", "public", "spare", "corrupt"))
    relocation.put_right(queue, time.time(), interval)
    assert {"private", "public", "spare", "corrupt"} <= set(os.listdir(queue.directory))


def test_spare_files_do_not_come_along(spool: Path) -> None:
    put_message(spool, "spare")
    queue = copied(spool)
    relocation.put_right(queue, time.time(), interval)
    assert os.listdir(f"{queue.directory}/spare") == []


def test_modes_are_those_of_queue_files_and_marks_stay(spool: Path) -> None:
    plain, marked = put_message(spool, "hold"), put_message(spool, "hold")
    os.chmod(spool / "hold" / plain, 0o755)  # from a file system without modes
    os.chmod(spool / "hold" / marked, 0o600 | FORCED_EXPIRE)
    queue = copied(spool)
    os.chmod(f"{queue.directory}/hold", 0o755)
    assert relocation.put_right(queue, time.time(), interval).owners >= 2
    modes = [os.stat(path).st_mode & 0o777 for path in (queue.path("hold", plain), queue.path("hold", marked))]
    assert modes == [0o600, 0o600 | FORCED_EXPIRE]
    assert os.stat(f"{queue.directory}/hold").st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_files_get_the_owner_of_the_queue_and_links_are_not_followed(spool: Path, tmp_path: Path) -> None:
    queue_id = put_message(spool, "active")
    outside = tmp_path / "outside"
    outside.touch()
    (spool / "active" / encode_id(1, 1)).symlink_to(outside)
    queue = copied(spool, symlinks=True)
    relocation.put_right(queue, time.time(), interval, 61234, 61235)
    status = os.stat(queue.path("active", queue_id))
    assert (status.st_uid, status.st_gid) == (61234, 61235)
    assert outside.stat().st_uid == 0


def test_no_id_that_was_brought_along_can_be_given_to_a_new_message(spool: Path) -> None:
    """The clock here is behind: an id of the old machine could come again, with its inode and in its microsecond."""
    now = time.time()
    ahead = put_message(spool, "deferred", arrival=now)
    inode = os.stat(spool / "deferred" / ahead).st_ino
    future = encode_id(int((now + 3600) * 1e6), inode)
    os.rename(spool / "deferred" / ahead, spool / "deferred" / future)
    for kind in ("defer", "bounce"):
        Path(log_path(str(spool), kind, future)).write_text(kind)
    past = put_message(spool, "deferred")
    early = encode_id(int((now - 3600) * 1e6), os.stat(spool / "deferred" / past).st_ino)
    os.rename(spool / "deferred" / past, spool / "deferred" / early)
    queue = copied(spool)
    ((old, new),) = relocation.put_right(queue, now, interval).names
    assert old == future
    # Ids that are given from now on are not before this time (cleanup refuses them), whatever inode they name.
    assert all(decode_id(queue_id)[0] / 1e6 <= now - 3 for queue_id in queue.ids("deferred"))
    assert sorted(queue.ids("deferred")) == sorted([new, early])
    assert Path(log_path(queue.directory, "defer", new)).read_text() == "defer"
    assert Path(log_path(queue.directory, "bounce", new)).read_text() == "bounce"


def test_ids_of_this_moment_are_waited_for(spool: Path) -> None:
    put_message(spool, "deferred")
    now = time.time()
    repairs = relocation.put_right(copied(spool), now, interval)
    assert repairs.names == []
    assert relocation.CLOCK_SLACK - 1 < repairs.pause <= relocation.CLOCK_SLACK + 1
    assert relocation.put_right(Queue(str(spool)), now, interval).pause == 0, "what was not moved waits for nothing"


def test_two_ids_of_the_future_stay_two(spool: Path) -> None:
    now = time.time()
    for name in ("active", "deferred"):
        queue_id = put_message(spool, name)
        inode = os.stat(spool / name / queue_id).st_ino
        os.rename(spool / name / queue_id, spool / name / encode_id(int((now + 3600) * 1e6), inode))
    queue = copied(spool)
    names = relocation.put_right(queue, now, interval).names
    assert len({new for _, new in names}) == 2
    assert relocation.put_right(queue, now, interval).names == []
