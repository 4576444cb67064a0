"""Whose turn it is at the agents of a transport: what `transport.py` promises, for any mixture of mail.

A transport with a pool that counts stands alone here: no event loop, a clock that stands still.  Deliveries begin when
the transport may hand them out and end in the order that Hypothesis chooses.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.delivery.result import Result
from pillarbox.lib.queue import Queue, Recipient, StoredRecipient
from pillarbox.qmgr.hall import Hall
from pillarbox.qmgr.job import Entry, Job
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.timers import Timers
from pillarbox.qmgr.transport import Transport

all_parameters()

COST = 5
LOAN = 3


@dataclass(eq=False)
class Message:
    """As much of a message as a transport sees."""

    name: str
    jobs: tuple[Job, ...] = ()
    queue_id: str = ""


class Outcomes:
    """Everything is settled."""

    crowded = False

    def __init__(self) -> None:
        self.suspended: list[str] = []

    def settle(self, entry: Entry, results: list[Result]) -> None:
        pass

    def decide(self, entry: Entry, status: str, dsn: str, text: str, *, until: float = 0.0) -> None:
        self.suspended += [stored.recipient.address for stored in entry.recipients]

    def too_late(self, entry: Entry) -> bool:
        return False


class Pool:
    """Agents that take `capacity` entries at once; it notes what was handed out in which order."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.under_way: list[Entry] = []
        self.begun: list[Entry] = []

    @property
    def busy(self) -> int:
        return len(self.under_way)

    def free_agent(self, known: bool, now: float, preferred: object = None) -> Pool | None:
        return self if self.busy < self.capacity else None

    def next_room(self) -> None:
        return None

    def deliver(self, entry: Entry, known: bool, now: float) -> None:
        self.under_way.append(entry)
        self.begun.append(entry)


class Now:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Scene:
    """One transport, moved by hand."""

    def __init__(self, capacity: int, **values: str) -> None:
        self.clock = Now()
        self.timers = Timers(self.clock)
        self.timers._arm = lambda: None  # type: ignore[method-assign]
        self.outcomes = Outcomes()
        config = Config({"queue_directory": "/nonexistent", "default_destination_recipient_limit": "2", **values})
        policy = DeliveryPolicy(config, Queue("/nonexistent"), self.clock)
        self.transport = Transport("there", config, self.outcomes, policy, self.clock, self.timers)
        self.pool = Pool(capacity)
        self.transport.pool = self.pool  # type: ignore[assignment]
        order = self.transport.rules.order
        self.transport._hall = Hall(self.pool, order, self.timers, self.transport.ask_dispatch)  # type: ignore[arg-type]
        self.transport.ask_dispatch = lambda: None  # type: ignore[method-assign]
        self.number = 0

    def put(self, name: str, *nexthops: str) -> Message:
        message = Message(name)
        for nexthop in nexthops:
            self.number += 1
            # Two recipients fill a request, so that each is an entry of its own.
            stored = [StoredRecipient(self.number, Recipient(f"{name}{half}@{nexthop}")) for half in "ab"]
            self.transport.add(message, nexthop, stored)  # type: ignore[arg-type]
        return message

    def run(self) -> None:
        """Hand out what may be handed out, one by one."""
        self.transport._dispatch()

    def end(self, which: int, site: str = "") -> None:
        entry = self.pool.under_way.pop(which % len(self.pool.under_way))
        self.transport._finished(entry, [], site)
        self.run()

    def order(self) -> list[str]:
        return [entry.message.name for entry in self.pool.begun]


@settings(deadline=None)
@given(st.data(), st.integers(1, 8), st.integers(1, 4), st.integers(1, 30), st.integers(1, 3))
def test_everything_is_delivered_once_and_windows_hold(
    data: st.DataObject, capacity: int, initial: int, messages: int, domains: int
) -> None:
    scene = Scene(capacity, initial_destination_concurrency=str(initial), default_destination_concurrency_limit="6")
    expected: Counter[str] = Counter()
    for number in range(messages):
        nexthops = data.draw(st.lists(st.integers(0, domains), min_size=1, max_size=12))
        scene.put(f"m{number}", *(f"d{one}.test" for one in nexthops))
        expected[f"m{number}"] = len(nexthops)
        if data.draw(st.booleans()):
            scene.run()
        if scene.pool.under_way and data.draw(st.booleans()):
            scene.end(data.draw(st.integers(0, 100)))
    scene.run()
    while scene.pool.under_way:
        for nexthop in scene.transport.nexthops.known.values():
            destination = nexthop.destination
            assert destination.busy == sum(entry.nexthop is nexthop for entry in scene.pool.under_way)
            assert destination.busy <= destination.window.size <= 6
        # Nothing idles: what waits has found the agents, or its destination, full.
        assert scene.pool.busy == capacity or all(
            nexthop.destination.busy >= nexthop.destination.window.size or not nexthop.peers
            for nexthop in scene.transport.nexthops.known.values()
        )
        scene.end(data.draw(st.integers(0, 100)))
    assert Counter(scene.order()) == expected
    assert not scene.transport._rota
    assert all(nexthop.forgettable(1e9) for nexthop in scene.transport.nexthops.known.values())
    assert scene.transport.recipients.in_core == 0


@settings(deadline=None)
@given(
    st.data(),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(10, 60), st.integers(1, 40)), min_size=1, max_size=4),
    st.integers(0, 40),
    st.integers(1, 5),
)
def test_a_message_to_one_waits_for_a_few_deliveries_however_many_recipients_others_have(
    data: st.DataObject, capacity: int, bulk: list[tuple[int, int]], begun: int, singles: int
) -> None:
    """The n-th of new messages to one recipient each, whose destinations have room."""
    scene = Scene(capacity, default_destination_concurrency_limit="3", initial_destination_concurrency="3")
    for number, (entries, domains) in enumerate(bulk):
        scene.put(f"bulk{number}", *(f"d{entry % domains}.test" for entry in range(entries)))
    scene.run()
    for _ in range(begun):
        if scene.pool.under_way:
            scene.end(data.draw(st.integers(0, 100)))
    # What is still fresh of the bulk stands in the same line; it is over soon.
    ahead = len(bulk) * scene.transport.rules.fresh_until
    before = len(scene.pool.begun)
    for number in range(singles):
        scene.put(f"single{number}", f"own{number}.test")
    scene.run()
    while f"single{singles - 1}" not in scene.order():
        scene.end(data.draw(st.integers(0, 100)))
    waited = len(scene.pool.begun) - before - 1
    assert waited <= 2 * (COST + 1) * (ahead + singles)
    for number in range(singles):
        position = scene.order().index(f"single{number}") - before
        assert position <= 2 * (COST + 1) * (ahead + number + 1)


@settings(deadline=None)
@given(st.data(), st.integers(2, 6), st.integers(1, 3), st.integers(20, 60), st.integers(1, 4))
def test_at_a_full_destination_a_message_to_one_waits_for_a_few_places(
    data: st.DataObject, capacity: int, window: int, entries: int, singles: int
) -> None:
    """Bulk mail holds every place of the only destination; the places that become free are shared as the turns are."""
    window = min(window, capacity)
    scene = Scene(
        capacity,
        default_destination_concurrency_limit=str(window),
        initial_destination_concurrency=str(window),
    )
    bulk = [scene.put(f"bulk{number}", *(["same.test"] * entries)) for number in range(3)]
    scene.run()
    while any(message.jobs[0].fresh for message in bulk):
        scene.end(data.draw(st.integers(0, 100)))
    before = len(scene.pool.begun)
    for number in range(singles):
        scene.put(f"single{number}", "same.test")
    scene.run()
    while f"single{singles - 1}" not in scene.order():
        scene.end(data.draw(st.integers(0, 100)))
    for number in range(singles):
        position = scene.order().index(f"single{number}") - before
        assert position <= (COST + 1) * (number + 1) + window


@settings(deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(2, 5), st.integers(30, 60))
def test_mail_to_many_has_its_share_among_its_kind(
    data: st.DataObject, capacity: int, messages: int, entries: int
) -> None:
    """With enough places at the destinations, none of several messages to many gets ahead of another by two turns."""
    scene = Scene(capacity)
    bulk = [
        scene.put(f"m{number}", *(f"m{number}-{entry}.test" for entry in range(entries))) for number in range(messages)
    ]
    scene.run()
    while any(message.jobs[0].fresh for message in bulk):
        scene.end(data.draw(st.integers(0, 100)))
    before = [message.jobs[0].served for message in bulk]
    while max(message.jobs[0].served for message in bulk) < entries:
        gained = [message.jobs[0].served - was for message, was in zip(bulk, before, strict=True)]
        assert max(gained) - min(gained) <= 1
        scene.end(data.draw(st.integers(0, 100)))


@settings(deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(20, 100))
def test_mail_to_many_is_slowed_by_a_stream_of_mail_to_one_by_its_share_only(
    data: st.DataObject, capacity: int, entries: int
) -> None:
    scene = Scene(capacity)
    scene.put("bulk", *(f"d{entry}.test" for entry in range(entries)))
    scene.run()
    for number in range(3 * entries):
        scene.put(f"single{number}", f"s{number}.test")
        scene.put(f"other{number}", f"o{number}.test")
    while scene.order().count("bulk") < entries:
        scene.end(data.draw(st.integers(0, 100)))
    order = scene.order()
    start = [index for index, name in enumerate(order) if name == "bulk"][: scene.transport.rules.fresh_until][-1]
    others = sum(name != "bulk" for name in order[start:])
    assert others <= entries / COST + LOAN + 1 + capacity


class TestDeath:
    def test_all_that_waits_for_a_dead_next_hop_is_put_off_and_nothing_else(self) -> None:
        scene = Scene(2, initial_destination_concurrency="2")
        scene.put("a", *["dead.test"] * 10)
        scene.put("b", "fine.test", "dead.test")
        scene.run()
        while any(entry.nexthop.name == "dead.test" for entry in scene.pool.under_way):
            which = [entry.nexthop.name for entry in scene.pool.under_way].index("dead.test")
            scene.end(which, "refused")
        while scene.pool.under_way:
            scene.end(0)
        tried = sum(entry.nexthop.name == "dead.test" for entry in scene.pool.begun)
        assert tried <= 4
        assert len(scene.outcomes.suspended) == 2 * (11 - tried)
        assert "b" in scene.order()
        assert not scene.transport._rota
        scene.put("c", "dead.test")
        assert len(scene.outcomes.suspended) == 2 * (12 - tried), "mail for a dead next hop waited"
        scene.clock.time += 301
        scene.put("d", "dead.test")
        scene.run()
        assert scene.order()[-1] == "d"

    def test_a_transport_without_agents_puts_everything_off(self) -> None:
        scene = Scene(1)
        for name in "abc":
            scene.put(name, "one.test", "two.test")
        scene.run()
        scene.transport._unavailable("gone")
        assert len(scene.outcomes.suspended) == 10
        assert not scene.transport._rota
        scene.end(0)
        assert scene.transport.recipients.in_core == 0


class TestRateDelay:
    def test_a_destination_is_served_one_at_a_time_with_a_pause_between(self) -> None:
        scene = Scene(10, default_destination_rate_delay="10s")
        scene.put("a", *["slow.test"] * 3, *["other.test"] * 2)
        scene.run()
        assert [entry.nexthop.name for entry in scene.pool.begun] == ["slow.test", "other.test"]
        scene.end(0)
        assert scene.pool.busy == 1, "the pause was not kept"
        scene.clock.time += 9.9
        scene.timers.run_due()
        scene.run()
        assert scene.pool.busy == 1
        scene.clock.time += 0.2
        scene.timers.run_due()
        scene.run()
        assert [entry.nexthop.name for entry in scene.pool.under_way] == ["other.test", "slow.test"]

    def test_a_transport_is_served_one_at_a_time_with_a_pause_between(self) -> None:
        scene = Scene(10, default_transport_rate_delay="10s")
        scene.put("a", "one.test", "two.test", "three.test")
        scene.run()
        assert scene.pool.busy == 1
        scene.end(0)
        assert scene.pool.busy == 0, "the pause was not kept"
        scene.clock.time += 10
        scene.timers.run_due()
        scene.run()
        assert scene.pool.busy == 1 and len(scene.pool.begun) == 2


def test_with_a_recipient_limit_of_one_each_recipient_is_a_destination(tmp_path: Any) -> None:
    scene = Scene(100, default_destination_recipient_limit="1", default_destination_concurrency_limit="2")
    for number in range(5):
        for name in ("ann", "bob"):
            message = Message(f"{name}{number}")
            stored = [StoredRecipient(1, Recipient(f"{name}@here.test"))]
            scene.transport.add(message, "here.test", stored)  # type: ignore[arg-type]
    scene.run()
    assert sorted(scene.order()) == ["ann0", "ann1", "bob0", "bob1"]
    assert {nexthop.name for nexthop in scene.transport.nexthops.known.values()} == {"here.test"}


def test_memory_of_next_hops_is_bounded_where_all_are_done() -> None:
    scene = Scene(10)
    for number in range(5000):
        scene.put("m", f"d{number}.test")
        scene.run()
        scene.end(0)
    assert len(scene.transport.nexthops.known) <= 2000
