"""The directories of the queue: who may do what in them, and the moves between them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pillarbox.lib.queue import QUEUES, Queue, find
from pillarbox.lib.queue.directories import LOGS

ID = "4jXFYl6dnjzKD6m"


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue(str(tmp_path / "spool"))
    made.create()
    return made


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_right_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        Queue(str(tmp_path / "spool")).create()
    finally:
        os.umask(before)
    modes = {name: mode(tmp_path / "spool" / name) for name in os.listdir(tmp_path / "spool")}
    messages = dict.fromkeys((*QUEUES, *LOGS, "spare"), 0o700)
    assert modes == {**messages, "private": 0o710, "public": 0o755, "maildrop": 0o1733}
    assert mode(tmp_path / "spool") == 0o755, "its users could not get to their directories"


def test_directories_belong_to_the_mail_owner(tmp_path: Path) -> None:
    assert os.getuid() == 0, "only root can give directories away"
    Queue(str(tmp_path / "spool")).create(61001, 61002)
    owners = {(os.stat(tmp_path / "spool" / name).st_uid, os.stat(tmp_path / "spool" / name).st_gid) for name in QUEUES}
    assert owners == {(61001, 61002)}


def test_making_them_again_changes_nothing(queue: Queue) -> None:
    os.chmod(f"{queue.directory}/hold", 0o750)
    Path(queue.path("incoming", ID)).touch()
    queue.create()
    assert mode(f"{queue.directory}/hold") == 0o750
    assert list(queue.ids("incoming")) == [ID]


def test_a_message_is_moved_by_rename(queue: Queue) -> None:
    path = Path(queue.path("incoming", ID))
    path.touch()
    inode = path.stat().st_ino
    queue.move(ID, "incoming", "active")
    assert Path(queue.path("active", ID)).stat().st_ino == inode and not path.exists()
    with pytest.raises(FileNotFoundError):
        queue.move(ID, "incoming", "active")


def test_only_messages_are_listed(queue: Queue) -> None:
    for name in (ID, ".1-2", "README", f"{ID}.bak"):
        Path(queue.directory, "incoming", name).touch()
    assert list(queue.ids("incoming")) == [ID]
    assert list(queue.ids("nosuch")) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", ".1-2", "a/b", "x"])
def test_what_is_no_id_names_no_file(queue: Queue, name: str) -> None:
    for attempt in (
        lambda: queue.path("active", name),
        lambda: queue.move(name, "active", "hold"),
        lambda: queue.remove("active", name),
        lambda: find(queue, name),
    ):
        with pytest.raises(ValueError, match="is not a queue id"):
            attempt()


def test_removing_what_is_gone_is_no_error(queue: Queue) -> None:
    Path(queue.path("hold", ID)).touch()
    queue.remove("hold", ID)
    queue.remove("hold", ID)
    assert find(queue, ID) is None


def test_a_message_is_found_wherever_it_is(queue: Queue) -> None:
    for name in QUEUES:
        Path(queue.path(name, ID)).touch()
        assert find(queue, ID) == name
        queue.remove(name, ID)
