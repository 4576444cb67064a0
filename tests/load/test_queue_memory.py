"""A message to a million and a queue of 200,000 messages are worked off in memory that does not grow with them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pillarbox.qmgr.room import SLICE

RECIPIENT_LIMIT = 20_000
"""The default of qmgr_message_recipient_limit."""

ACTIVE_LIMIT = 20_000
"""The default of qmgr_message_active_limit."""

GROWTH = 20_000
"""kB that a queue manager may grow with one message, whatever the number of its recipients."""

QUEUE_GROWTH = 60_000
"""kB that it may grow with a queue: what is active."""

ACTIVE_MESSAGE = 4.0
"""kB for each message that is active at the same time."""


def worked_off(kind: str, count: int) -> dict[str, int]:
    """What `tests.qmgr.bulk` counted."""
    command = [sys.executable, "-m", "tests.qmgr.bulk", kind, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1400)
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout)
    assert counted["left"] == 0, "something stayed in the queue"
    return counted


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["discard", "agent"])
def test_a_message_to_a_million(kind: str) -> None:
    counted = worked_off(kind, 1_000_000)
    assert counted["answered"] == (1_000_000 if kind == "agent" else 0)
    assert counted["in_core"] <= RECIPIENT_LIMIT + SLICE
    assert counted["grown"] < GROWTH


@pytest.mark.timeout(1500)
def test_a_queue_of_200_000_messages() -> None:
    counted = worked_off("queue", 200_000)
    assert counted["answered"] == 200_000
    assert counted["active"] <= ACTIVE_LIMIT
    assert counted["grown"] < QUEUE_GROWTH


@pytest.mark.timeout(1500)
def test_an_active_message_is_small() -> None:
    counted = worked_off("held", 10_000)
    assert counted["active"] == 10_000
    assert counted["grown"] < 10_000 * ACTIVE_MESSAGE
