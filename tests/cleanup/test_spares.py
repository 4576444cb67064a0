"""New messages over the files of old ones: neither ever shows through the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.cleanup import spares as module
from pillarbox.cleanup.incoming import IncomingFile
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.queue import Envelope, Queue, QueueFile, Recipient, encode_id

pytestmark = pytest.mark.usefixtures("opens_files")

ENVELOPE = Envelope("a@x.test", (Recipient("b@y.test"),), 1.5)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    Queue(str(tmp_path / "spool")).create()
    monkeypatch.setattr(module, "WORTH_A_SYNC", 1)
    yield tmp_path / "spool"


def old(spool: Path, content: bytes = b"SECRET" * 500, name: str = "4jXFYl6dnjzKD6m") -> Path:
    path = spool / "spare" / name
    path.write_bytes(content)
    return path


def ready(spool: Path) -> Spares:
    spares = Spares(str(spool))
    spares.refill()
    return spares


def store(spool: Path, file: IncomingFile, content: bytes) -> Path:
    file.begin(ENVELOPE)
    file.write(content)
    file.complete()
    queue_id = encode_id(time.time_ns() // 1000, file.inode)
    file.publish(queue_id)
    return spool / "incoming" / queue_id


@pytest.mark.parametrize("size", [0, 10, 2000, 200_000])
def test_the_old_content_is_gone_and_the_new_one_whole(spool: Path, size: int) -> None:
    inode = old(spool).stat().st_ino
    file = IncomingFile(str(spool / "incoming"), ready(spool))
    assert file.inode == inode
    path = store(spool, file, b"n" * size)
    assert b"SECRET" not in path.read_bytes()
    found = QueueFile(descriptor := os.open(path, os.O_RDONLY))
    assert os.pread(descriptor, found.length, found.offset) == b"n" * size
    assert [stored.recipient.address for stored in found.recipients()] == ["b@y.test"]
    found.close()


def test_a_file_that_someone_has_open_is_not_used(spool: Path) -> None:
    """Lock or no lock: an agent that was broken into could give the lock up and wait."""
    path = old(spool)
    with path.open("rb") as held:
        file = IncomingFile(str(spool / "incoming"), ready(spool))
        store(spool, file, b"another's mail")
        assert held.read() == b"SECRET" * 500
    assert not path.exists()


def test_a_file_with_a_second_name_is_not_used(spool: Path) -> None:
    path = old(spool)
    message = spool / "incoming" / "4jXFYl6dnjzKD6n"
    os.link(path, message)
    store(spool, IncomingFile(str(spool / "incoming"), ready(spool)), b"another's mail")
    assert message.read_bytes() == b"SECRET" * 500


def test_nothing_is_used_before_its_move_is_on_disk(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(spool)
    synced: list[str] = []
    monkeypatch.setattr(module, "sync_directory", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    spares = Spares(str(spool))
    assert spares.take(str(spool / "incoming" / ".x")) is None
    spares.refill()
    assert sorted(synced) == [str(spool / "active"), str(spool / "spare")]
    descriptor = spares.take(str(spool / "incoming" / ".x"))
    assert descriptor is not None
    os.close(descriptor)


def test_two_processes_never_use_the_same(spool: Path) -> None:
    for n in range(4):
        old(spool, name=f"4jXFYl6dnjzKD6{'mnpq'[n]}")
    both = [ready(spool), ready(spool)]
    files = [IncomingFile(str(spool / "incoming"), both[n % 2]) for n in range(8)]
    assert len({file.inode for file in files}) == 8
    for file in files:
        file.discard()
    assert os.listdir(spool / "incoming") == []


def test_a_spare_file_that_has_gone_is_no_trouble(spool: Path) -> None:
    path = old(spool)
    spares = ready(spool)
    path.unlink()
    file = IncomingFile(str(spool / "incoming"), spares)
    store(spool, file, b"x")
