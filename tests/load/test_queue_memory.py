"""A message to very many and a long queue are worked off in memory that does not grow with them.

The limits are small here, and so are the numbers, many times the limits all the same; `python -m bench.backlog` has a
million recipients and 200,000 messages with the limits as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pillarbox.qmgr.room import SLICE

REPOSITORY = Path(__file__).resolve().parents[2]

LIMIT = 1000
"""Of recipients in memory, and of active messages."""

RECIPIENTS = 20_000

GROWTH = 4_000
"""kB that a queue manager may grow with one message: with 10,000 recipients it is 1,900, with 50,000 too."""

MESSAGES = 6_000

QUEUE_GROWTH = 6_000
"""kB that it may grow with a queue: with 2,000 messages it is 2,700, with 8,000 it is 2,500."""

HELD = 3_000

ACTIVE_MESSAGE = 4.0
"""kB for each message that is active at the same time."""


def worked_off(kind: str, count: int, limit: int) -> dict[str, int]:
    """What `tests.qmgr.bulk` counted."""
    command = [sys.executable, "-m", "tests.qmgr.bulk", kind, str(count), str(limit)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout)
    assert counted["left"] == 0, "something stayed in the queue"
    return counted


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["discard", "agent"])
def test_a_message_to_very_many(kind: str) -> None:
    counted = worked_off(kind, RECIPIENTS, LIMIT)
    assert counted["answered"] == (RECIPIENTS if kind == "agent" else 0)
    assert counted["in_core"] <= LIMIT + SLICE
    assert counted["grown"] < GROWTH


@pytest.mark.timeout(240)
def test_a_long_queue() -> None:
    counted = worked_off("queue", MESSAGES, LIMIT)
    assert counted["answered"] == MESSAGES
    assert counted["active"] <= LIMIT
    assert counted["grown"] < QUEUE_GROWTH


@pytest.mark.timeout(240)
def test_an_active_message_is_small() -> None:
    counted = worked_off("held", HELD, HELD)
    assert counted["active"] == HELD
    assert counted["grown"] < HELD * ACTIVE_MESSAGE
