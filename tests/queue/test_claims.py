"""What an agent claims by locks is marked by who may write, and nothing else is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.queue import Queue, QueueFile, Recipient
from pillarbox.lib.queue.claims import claim, is_done, record_claims
from pillarbox.qmgr.message import StillInDelivery, take_up
from tests.commands.queued import put_message

PEOPLE = tuple(Recipient(f"r{n}@y.test") for n in range(40))


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    found = Queue(str(tmp_path / "spool"))
    found.create()
    return found


@pytest.fixture
def path(queue: Queue) -> str:
    return queue.path("incoming", put_message(Path(queue.directory), "incoming", recipients=PEOPLE))


@pytest.fixture
def agent(path: str) -> Iterator[int]:
    """What an agent has: the file to read, locked."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield descriptor
    os.close(descriptor)


def done(path: str) -> list[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [n for n, stored in enumerate(QueueFile(descriptor).recipients()) if stored.done]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("chosen", [[], [0], [39], [3, 17, 18], list(range(40))])
def test_claimed_recipients_are_marked_and_no_others(path: str, agent: int, chosen: list[int]) -> None:
    file = QueueFile(agent)
    places = [stored.n for stored in file.recipients()]
    for n in reversed(chosen):
        claim(agent, places[n])
    assert record_claims(path, file.offset) == len(chosen)
    assert done(path) == chosen
    assert [is_done(agent, place) for place in places] == [n in chosen for n in range(40)]
    assert record_claims(path, file.offset) == 0


def test_a_claim_of_what_is_no_recipient_changes_nothing(path: str, agent: int) -> None:
    file = QueueFile(agent)
    before = Path(path).read_bytes()
    places = {stored.n for stored in file.recipients()}
    for n in range(len(before)):
        if n not in places and n % 2:  # single ones
            claim(agent, n)
    record_claims(path, file.offset)
    fcntl.fcntl(agent, fcntl.F_OFD_SETLK, b"\0" * 32)  # all of the file at once
    record_claims(path, file.offset)
    assert Path(path).read_bytes() == before


def test_a_claim_ends_with_the_descriptor(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    file = QueueFile(descriptor)
    (first, *_) = file.recipients()
    claim(descriptor, first.n)
    os.close(descriptor)
    assert record_claims(path, file.offset) == 0


def test_a_queue_manager_records_the_claims_on_a_message_that_it_may_not_have_yet(
    queue: Queue, path: str, agent: int
) -> None:
    places = [stored.n for stored in QueueFile(agent).recipients()]
    for place in places[1:]:
        claim(agent, place)
    queue_id = Path(path).name
    with pytest.raises(StillInDelivery):
        take_up(queue, queue_id, "incoming", 0.0)
    fcntl.flock(agent, fcntl.LOCK_UN)
    message = take_up(queue, queue_id, "active", 0.0)
    assert [stored.recipient for stored in message.read_recipients(100)] == [PEOPLE[0]]
    message.close()
