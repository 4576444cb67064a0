"""Files of delivered messages are written over, and no byte of the old message is ever seen again."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from pillarbox.cleanup.incoming import IncomingFile
from pillarbox.cleanup.spares import WORTH_A_SYNC, Spares
from pillarbox.lib.queue import Envelope, Queue, QueueFile, Recipient, encode_id

OLD = b"SECRET OF ANOTHER MESSAGE\n" * 300


def spool_with_spares(directory: Path, count: int = WORTH_A_SYNC, content: bytes = OLD) -> Path:
    Queue(str(directory)).create()
    for number in range(count):
        (directory / "spare" / encode_id(time.time_ns() // 1000, number + 1)).write_bytes(content)
    return directory


def spares_of(spool: Path) -> Spares:
    spares = Spares(str(spool))
    spares.refill()
    return spares


def new_message(spool: Path, spares: Spares | None, content: bytes) -> tuple[str, int]:
    """Write a message as cleanup does; (its id, its inode)."""
    file = IncomingFile(str(spool / "incoming"), spares)
    queue_id = encode_id(time.time_ns() // 1000, file.inode)
    assert file.accepts(queue_id)
    file.begin(Envelope("a@example.org", (Recipient("b@example.net"),), time.time()))
    file.write(content)
    file.complete()
    file.publish(queue_id)
    return queue_id, file.inode


def test_a_spare_file_becomes_the_new_message(tmp_path: Path) -> None:
    spool = spool_with_spares(tmp_path)
    inodes = {path.stat().st_ino for path in (spool / "spare").iterdir()}
    queue_id, inode = new_message(spool, spares_of(spool), b"Subject: new\n\nnew\n")
    assert inode in inodes
    assert len(list((spool / "spare").iterdir())) == WORTH_A_SYNC - 1
    descriptor = os.open(spool / "incoming" / queue_id, os.O_RDONLY)
    file = QueueFile(descriptor)
    assert os.pread(descriptor, file.length, file.offset) == b"Subject: new\n\nnew\n"
    assert [stored.recipient.address for stored in file.recipients()] == ["b@example.net"]
    file.close()


def test_nothing_of_the_old_message_is_left_in_a_shorter_new_one(tmp_path: Path) -> None:
    spool = spool_with_spares(tmp_path)
    queue_id, _ = new_message(spool, spares_of(spool), b"Subject: short\n\n")
    data = (spool / "incoming" / queue_id).read_bytes()
    assert b"SECRET" not in data
    assert data.endswith(b"\0" * 100)


def test_a_longer_new_message_is_whole(tmp_path: Path) -> None:
    spool = spool_with_spares(tmp_path, content=b"tiny")
    content = b"Subject: long\n\n" + b"line\n" * 60_000
    queue_id, _ = new_message(spool, spares_of(spool), content)
    assert (spool / "incoming" / queue_id).read_bytes().endswith(content)


def test_a_file_that_an_agent_still_holds_is_not_touched(tmp_path: Path) -> None:
    """The agent reads on; the name is gone, the content is not."""
    spool = spool_with_spares(tmp_path)
    held = [os.open(path, os.O_RDONLY) for path in (spool / "spare").iterdir()]
    for descriptor in held:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    _, inode = new_message(spool, spares_of(spool), b"Subject: new\n\n")
    assert inode not in {os.fstat(descriptor).st_ino for descriptor in held}
    for descriptor in held:
        assert os.pread(descriptor, len(OLD), 0) == OLD
        os.close(descriptor)


def test_a_lock_shared_by_an_agent_counts_though_the_queue_manager_has_closed(tmp_path: Path) -> None:
    """qmgr locks, hands a copy of the descriptor to an agent, and closes its own."""
    spool = spool_with_spares(tmp_path)
    locked = [os.open(path, os.O_RDONLY) for path in (spool / "spare").iterdir()]
    agents = []
    for descriptor in locked:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        agents.append(os.dup(descriptor))
        os.close(descriptor)
    _, inode = new_message(spool, spares_of(spool), b"Subject: new\n\n")
    assert inode not in {os.fstat(descriptor).st_ino for descriptor in agents}
    for descriptor in agents:
        os.close(descriptor)


def test_two_processes_never_take_the_same_file(tmp_path: Path) -> None:
    spool = spool_with_spares(tmp_path)
    one, other = spares_of(spool), spares_of(spool)
    inodes = [new_message(spool, spares, b"\n")[1] for _ in range(WORTH_A_SYNC) for spares in (one, other)]
    assert len(set(inodes)) == len(inodes)


def test_both_directories_are_synced_before_a_file_is_used(tmp_path: Path, monkeypatch) -> None:
    spool = spool_with_spares(tmp_path)
    synced = []
    monkeypatch.setattr(
        "pillarbox.cleanup.spares.sync_directory",
        lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")),
    )
    spares = spares_of(spool)
    assert sorted(synced) == [str(spool / "active"), str(spool / "spare")]
    assert spares.take(str(spool / "incoming" / ".1")) is not None


def test_a_file_is_not_used_when_a_sync_fails(tmp_path: Path, monkeypatch) -> None:
    spool = spool_with_spares(tmp_path)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pillarbox.cleanup.spares.sync_directory", fail)
    assert spares_of(spool).take(str(spool / "incoming" / ".1")) is None


def test_few_spare_files_are_left_alone(tmp_path: Path) -> None:
    """A sync for a handful would cost more than it saves."""
    spool = spool_with_spares(tmp_path, WORTH_A_SYNC - 1)
    assert spares_of(spool).take(str(spool / "incoming" / ".1")) is None
