"""What is measured, and how.

A measurement is a mapping from the name of a figure to its value; one that fails leaves its figures out and its reason
in `failures`. Throughput counts from the start of the sender: "accepted" until the last 250, "delivered" until the
mailbox or the sink has all. Processor time is that of the whole suite, from before the first message until the queue is
empty.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.contenders import MAILBOX, Contender
from bench.load import SENDER, Sink, send, send_first
from tests.lab.processes import cpu_time, memory

SINK_RECIPIENT = "someone@sink.test"

_START_LIMIT = 60  # seconds
_DELIVERY_LIMIT = 120  # seconds
_POLL = 0.01  # seconds
_SENDMAIL_RUNS = 20
_SETTLE = 1.0  # seconds; for processes to come to rest before memory is read
_WARM_UP = 100  # messages


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work."""

    name: str
    recipient: str
    sessions: int
    share: float  # of the asked number of messages: one session takes longer for each


SCENARIOS = (
    Scenario("mailbox, 20 sessions", MAILBOX, 20, 1),
    Scenario("mailbox, 1 session", MAILBOX, 1, 0.5),
    Scenario("relay, 20 sessions", SINK_RECIPIENT, 20, 1),
    Scenario("relay, 1 session", SINK_RECIPIENT, 1, 0.5),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """What a value is: its name, its unit, and which way is better."""

    name: str
    unit: str
    more_is_better: bool


def figures() -> list[Figure]:
    """All figures, in the order of the table."""
    found = []
    for scenario in SCENARIOS:
        found.append(Figure(f"{scenario.name}: accepted", "msg/s", True))
        found.append(Figure(f"{scenario.name}: delivered", "msg/s", True))
        found.append(Figure(f"{scenario.name}: CPU", "ms/msg", False))
    found += [
        Figure("memory, idle after start", "MB PSS", False),
        Figure("memory, idle after load", "MB PSS", False),
        Figure("start to first accepted mail", "ms", False),
        Figure("sendmail command", "ms", False),
    ]
    return found


def wait_until(condition: Callable[[], bool], limit: float, what: str) -> float:
    """The time (time.monotonic) at which the condition was seen true. Raises AssertionError."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(_POLL)
    return time.monotonic()


def settled(contender: Contender) -> None:
    """Return when the queue is empty."""
    wait_until(lambda: contender.waiting() == 0, _DELIVERY_LIMIT, f"{contender.name} empties its queue")


def clear_mailbox(contender: Contender) -> None:
    """Delete the delivered messages, and let the disk come to rest."""
    for place in ("new", "cur"):
        directory = contender.maildir / place
        if directory.exists():
            for name in os.listdir(directory):
                (directory / name).unlink()
    os.sync()


def delivered_here(contender: Contender) -> int:
    """How many messages the hosted mailbox holds."""
    try:
        return len(os.listdir(contender.maildir / "new"))
    except FileNotFoundError:
        return 0


def start(contender: Contender) -> dict[str, float]:
    """Start it, and measure the time to the first mail and the memory at rest."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            contender.start()
        except BaseException as error:
            failure.append(error)

    begin = time.monotonic()
    starter = threading.Thread(target=run)
    starter.start()
    try:
        first = send_first(contender.target, MAILBOX, begin + _START_LIMIT)
    finally:
        starter.join()
        if failure:
            raise failure[0]
    settled(contender)
    time.sleep(_SETTLE)
    return {
        "start to first accepted mail": 1000 * (first - begin),
        "memory, idle after start": memory(contender.pid) / 1e6,
    }


def warm_up(contender: Contender) -> dict[str, float]:
    """Let it start the processes that it wants for this load; counted nowhere."""
    send(contender.target, MAILBOX, 20, _WARM_UP)
    send(contender.target, SINK_RECIPIENT, 20, _WARM_UP)
    settled(contender)
    return {}


def throughput(contender: Contender, scenario: Scenario, messages: int, sink: Sink) -> dict[str, float]:
    """Send the scenario's messages through it."""
    count = max(1, int(messages * scenario.share))
    clear_mailbox(contender)
    at_sink = sink.count()
    cpu_before = cpu_time(contender.pid)
    begin = time.monotonic()
    accepted = send(contender.target, scenario.recipient, scenario.sessions, count)
    if scenario.recipient == MAILBOX:
        end = wait_until(lambda: delivered_here(contender) >= count, _DELIVERY_LIMIT, "all in the mailbox")
    else:
        end = wait_until(lambda: sink.count() - at_sink >= count, _DELIVERY_LIMIT, "all at the sink")
    settled(contender)
    cpu = cpu_time(contender.pid) - cpu_before
    return {
        f"{scenario.name}: accepted": count / accepted,
        f"{scenario.name}: delivered": count / (end - begin),
        f"{scenario.name}: CPU": 1000 * cpu / count,
    }


def sendmail_latency(contender: Contender) -> dict[str, float]:
    """Median time of the sendmail command with a small message."""
    command, environment = contender.sendmail(SENDER, MAILBOX)
    times = []
    for _ in range(_SENDMAIL_RUNS):
        begin = time.monotonic()
        done = subprocess.run(command, env=environment, input=b"Subject: x\n\nx\n", capture_output=True)
        times.append(1000 * (time.monotonic() - begin))
        if done.returncode != 0:
            raise AssertionError(
                f"sendmail ended with status {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
    settled(contender)
    return {"sendmail command": statistics.median(times)}


def memory_at_rest(contender: Contender) -> dict[str, float]:
    """Memory when there is nothing to do any more."""
    time.sleep(_SETTLE)
    return {"memory, idle after load": memory(contender.pid) / 1e6}


def stop(contender: Contender) -> dict[str, float]:
    """Stop it; a stop that fails is a failure of the run."""
    contender.stop()
    return {}
