"""Delivery agents as the queue manager meets them: greeting, answers in any order, faults, and the way they leave."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.delivery import DeliveryRequest, Result
from pillarbox.lib.delivery.request import request_frame
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed
from pillarbox.lib.process import Program, Worker, serve_agent, serve_async_agent
from pillarbox.lib.queue import Queue, QueueFile, Recipient
from pillarbox.lib.queue.claims import is_done, record_claims
from tests.commands.queued import put_message
from tests.process.worker import FULL, Running, running

all_parameters()


def results(request: DeliveryRequest) -> list[Result]:
    """What both agents of this test do, as the next hop says."""
    if request.nexthop == "fault":
        raise RuntimeError("a fault of the agent")
    if request.nexthop == "die":
        os._exit(9)
    text = "x" * 10_000 if request.nexthop == "long" else f"{os.pread(request.content.fd, 100, 0).decode()}"
    return [Result(one.n, "sent", "2.0.0", text, diagnostic=text) for one in request.recipients]


def blocking(worker: Worker) -> None:
    def deliver(batch: list[DeliveryRequest]) -> Iterable[tuple[DeliveryRequest, list[Result], str]]:
        for request in reversed(batch):
            if request.nexthop == "slow":
                time.sleep(0.4)
            yield request, results(request), "away" if request.nexthop == "away" else ""

    serve_agent(worker, deliver, capacity=3)


def with_events(worker: Worker) -> None:
    async def deliver(request: DeliveryRequest) -> tuple[list[Result], str]:
        if request.nexthop == "slow":
            await asyncio.sleep(0.4)
        return results(request), "away" if request.nexthop == "away" else ""

    serve_async_agent(worker, deliver, capacity=3)


BOTH = pytest.mark.parametrize(
    "program", [Program("agent", blocking), Program("agent", with_events)], ids=["blocking", "events"]
)
CONFIG = Config.for_tests(drain_timeout="0.1s")
"""Most tests leave their connection open to the end; that is no reason to wait for it."""

PATIENT = Config.for_tests()


class Manager:
    """The queue manager's end."""

    def __init__(self, path: Path) -> None:
        self.channel = Channel.connect(str(path), 10.0)
        self.hello = self.channel.receive()
        self.file = path.with_name("message")
        self.file.write_bytes(b"content")

    def ask(self, tag: int, nexthop: str = "there", recipients: int = 1) -> None:
        frame = request_frame(
            tag, "ID", "a@x.test", 0, 7, "agent", nexthop, 1.0, 2.0,
            [{"n": n, "address": f"{n}@y.test"} for n in range(recipients)], {"fds": 1},
        )  # fmt: skip
        with self.file.open("rb") as stream:
            self.channel.send({name: value for name, value in frame.items() if name != "fds"}, [stream.fileno()])

    def answers(self, count: int) -> dict[int, Attributes]:
        frames = [self.channel.receive(10.0) for _ in range(count)]
        return {frame.integer("tag"): frame for frame in frames}


@BOTH
class TestBoth:
    def test_the_greeting_says_how_much_it_takes(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            assert (manager.hello.text("hello"), manager.hello.integer("capacity")) == ("agent", 3)
            process.until_said(FULL)  # a further connection is for a further process

    def test_every_request_is_answered(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent"):
            manager = Manager(tmp_path / "agent")
            for tag in range(1, 10):
                manager.ask(tag, "away" if tag == 5 else "there", recipients=tag)
            answers = manager.answers(9)
            assert sorted(answers) == list(range(1, 10))
            assert all(len(answer.groups("results")) == tag for tag, answer in answers.items())
            assert all(answer.groups("results")[0].text("text") == "content" for answer in answers.values())
            assert [tag for tag, answer in answers.items() if answer.text("site")] == [5]

    def test_a_fault_defers_and_the_agent_lives_on(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            manager.ask(1, "fault", 2)
            (answer,) = manager.answers(1).values()
            assert [one.text("status") for one in answer.groups("results")] == ["deferred", "deferred"]
            assert "panic: ID: RuntimeError: a fault of the agent" in process.lines
            manager.ask(2)
            manager.answers(1)

    def test_an_answer_too_long_for_a_frame_is_cut_not_lost(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent"):
            manager = Manager(tmp_path / "agent")
            manager.ask(1, "long", 200)
            (answer,) = manager.answers(1).values()
            assert [one.text("status") for one in answer.groups("results")] == ["sent"] * 200
            assert answer.groups("results")[0].text("text").startswith("xxxxx")

    def test_descriptors_are_given_back(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            manager.ask(1)
            manager.answers(1)
            before = process.descriptors
            for tag in range(2, 20):
                manager.ask(tag, "fault" if tag % 5 == 0 else "there")
                manager.answers(1)
            process.until(lambda: process.descriptors <= before)

    @pytest.mark.parametrize(
        "frame", [{"do": "dance"}, {"do": "deliver"}, {"do": "deliver", "tag": 1, "recipients": [7]}, {}]
    )
    def test_a_request_that_is_none_ends_the_connection(
        self, tmp_path: Path, program: Program, frame: dict[str, object]
    ) -> None:
        with running(program, CONFIG, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            before = process.descriptors
            manager.channel.send(frame, [0])
            with pytest.raises(ChannelClosed):
                manager.channel.receive(10.0)
            process.until(lambda: process.descriptors < before)
            Manager(tmp_path / "agent").ask(1)

    def test_more_descriptors_than_it_names_are_not_hoarded(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent"):
            manager = Manager(tmp_path / "agent")
            import socket

            data = b"\0\0\1\0 "
            with pytest.raises((ChannelClosed, OSError)):
                for _ in range(1000):
                    socket.send_fds(manager.channel.socket, [data[:1] if data == b"\0" else b"\0"], [0] * 16)
                    data = b"\0"
                    time.sleep(0.0005)

    def test_told_to_stop_it_says_bye_and_finishes_what_it_has(self, tmp_path: Path, program: Program) -> None:
        with running(program, PATIENT, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            manager.ask(1, "slow")
            time.sleep(0.1)
            process.kill(signal.SIGTERM)
            frames = [manager.channel.receive(10.0), manager.channel.receive(10.0)]
            assert sorted("bye" in frame for frame in frames) == [False, True]
            assert process.alive, "it has gone before the queue manager knew"
            manager.ask(2)  # was on its way when the other side said bye
            assert 2 in manager.answers(1)
            manager.channel.close()
            assert process.end() == 0

    def test_a_connection_made_while_it_stops_hears_bye_too(self, tmp_path: Path, program: Program) -> None:
        with running(program, PATIENT, tmp_path / "agent") as process:
            first = Manager(tmp_path / "agent")
            process.kill(signal.SIGTERM)
            assert first.channel.receive(10.0).boolean("bye")
            first.channel.close()
            assert process.end() == 0

    def test_a_queue_manager_that_ignores_bye_does_not_hold_it_for_ever(self, tmp_path: Path, program: Program) -> None:
        with running(program, Config.for_tests(drain_timeout="0.3"), tmp_path / "agent") as process:
            Manager(tmp_path / "agent")
            process.kill(signal.SIGTERM)
            assert process.end() == 0

    def test_the_queue_manager_dies_and_deliveries_end_all_the_same(self, tmp_path: Path, program: Program) -> None:
        with running(program, CONFIG, tmp_path / "agent") as process:
            manager = Manager(tmp_path / "agent")
            manager.ask(1, "slow")
            time.sleep(0.1)
            manager.channel.close()
            again = Manager(tmp_path / "agent")
            again.ask(1)
            assert 1 in again.answers(1)
            assert process.alive

    def test_a_spare_agent_with_nothing_to_do_leaves(self, tmp_path: Path, program: Program) -> None:
        with running(
            program, Config.for_tests(max_idle="0s", drain_timeout="10s"), tmp_path / "agent", spare=True
        ) as process:
            manager = Manager(tmp_path / "agent")
            manager.ask(1)
            manager.answers(1)
            assert manager.channel.receive(10.0).boolean("bye")
            manager.channel.close()
            assert process.end() == 0

    def test_a_spare_agent_with_work_stays(self, tmp_path: Path, program: Program) -> None:
        with running(
            program, Config.for_tests(max_idle="1s", drain_timeout="0.1s"), tmp_path / "agent", spare=True
        ) as process:
            manager = Manager(tmp_path / "agent")
            for tag in range(4):
                manager.ask(tag, "slow")
                assert tag in manager.answers(1)
            assert process.alive


def test_a_blocking_agent_gets_all_that_waits_in_batches(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes"

    def run(worker: Worker) -> None:
        def deliver(batch: list[DeliveryRequest]) -> Iterable[tuple[DeliveryRequest, list[Result], str]]:
            with sizes.open("a") as stream:
                stream.write(f"{len(batch)} ")
            time.sleep(0.1)
            return [(request, results(request), "") for request in batch]

        serve_agent(worker, deliver, capacity=4)

    with running(Program("agent", run), CONFIG, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        for tag in range(9):
            manager.ask(tag)
        manager.answers(9)
    assert sum(map(int, sizes.read_text().split())) == 9
    assert max(map(int, sizes.read_text().split())) == 4


def test_what_a_batch_did_before_its_fault_counts(tmp_path: Path) -> None:
    def run(worker: Worker) -> None:
        def deliver(batch: list[DeliveryRequest]) -> Iterable[tuple[DeliveryRequest, list[Result], str]]:
            yield batch[0], results(batch[0]), ""
            raise RuntimeError("in the middle")

        serve_agent(worker, deliver, capacity=4)

    with running(Program("agent", run), CONFIG, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        manager.ask(1)
        manager.ask(2)
        answers = manager.answers(2)
        assert answers[1].groups("results")[0].text("status") == "sent"


def test_results_that_are_missing_do_not_stop_the_agent(tmp_path: Path) -> None:
    def run(worker: Worker) -> None:
        serve_agent(worker, lambda batch: [(one, [], "") for one in batch], capacity=1)

    with running(Program("agent", run), CONFIG, tmp_path / "agent") as process:
        manager = Manager(tmp_path / "agent")
        manager.ask(7)
        assert manager.answers(1)[7].groups("results") == []
        assert isinstance(process, Running)


def test_an_agent_that_tells_sites_says_so_and_a_question_is_no_delivery(tmp_path: Path) -> None:
    def run(worker: Worker) -> None:
        async def deliver(request: DeliveryRequest) -> tuple[list[Result], str]:
            return results(request), ""

        async def site(nexthop: str) -> tuple[str, float]:
            if nexthop == "fault":
                raise RuntimeError("a fault of the agent")
            await asyncio.sleep(0.2 if nexthop == "slow" else 0)
            return f"site of {nexthop}", 60.0

        serve_async_agent(worker, deliver, capacity=1, site=site)

    with running(Program("agent", run), CONFIG, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        assert manager.hello.boolean("sites") and manager.hello.integer("capacity") == 1
        for tag, nexthop in ((1, "slow"), (2, "a.test"), (3, "fault")):
            manager.channel.send({"do": "site", "tag": tag, "nexthop": nexthop})
        manager.ask(4)
        answers = manager.answers(4)
        assert [(answers[tag].text("site"), answers[tag].number("ttl")) for tag in (1, 2, 3)] == [
            ("site of slow", 60.0),
            ("site of a.test", 60.0),
            ("", 0.0),
        ]
        assert answers[4].groups("results")


def test_what_nobody_was_given_yet_is_given_up_when_the_queue_manager_is_gone(tmp_path: Path) -> None:
    def run(worker: Worker) -> None:
        async def deliver(request: DeliveryRequest) -> tuple[list[Result], str]:
            request.standing.revocable = request.nexthop == "waiting"
            await asyncio.sleep(0.5)
            (tmp_path / request.nexthop).touch()
            return results(request), ""

        serve_async_agent(worker, deliver, capacity=2)

    with running(Program("agent", run), PATIENT, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        manager.ask(1, "waiting")
        manager.ask(2, "given")
        time.sleep(0.2)
        manager.channel.close()
        deadline = time.monotonic() + 30
        while not (tmp_path / "given").exists():
            assert time.monotonic() < deadline, "a delivery that cannot be taken back was broken off"
            time.sleep(0.02)
        assert not (tmp_path / "waiting").exists(), "it would be delivered twice"


def lasting(worker: Worker) -> None:
    async def deliver(request: DeliveryRequest) -> tuple[list[Result], str]:
        await asyncio.sleep(0.3)
        notify = {one.n: one.notify for one in request.recipients}
        return [Result(n, "deferred" if "failure" in notify[n] else "sent", "2.0.0", "x") for n in notify], ""

    serve_async_agent(worker, deliver, capacity=2)


def lasting_blocking(worker: Worker) -> None:
    def deliver(batch: list[DeliveryRequest]) -> Iterable[tuple[DeliveryRequest, list[Result], str]]:
        time.sleep(0.3)
        for request in batch:
            notify = {one.n: one.notify for one in request.recipients}
            yield (
                request,
                [Result(n, "deferred" if "failure" in notify[n] else "sent", "2.0.0", "x") for n in notify],
                "",
            )

    serve_agent(worker, deliver, capacity=2)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_locked(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@pytest.mark.parametrize("run", [lasting_blocking, lasting], ids=["blocking", "events"])
def test_what_succeeds_when_the_queue_manager_is_gone_is_left_to_the_next_one(
    tmp_path: Path, run: Callable[[Worker], None]
) -> None:
    """Not what failed, nor a success that somebody wants to hear of; and it is kept locked until it is recorded."""
    queue = Queue(str(tmp_path / "spool"))
    queue.create()
    people = (
        Recipient("a@y.test"),
        Recipient("b@y.test", notify=("failure",)),
        Recipient("c@y.test"),
        Recipient("d@y.test", notify=("success",)),
    )
    path = queue.path("incoming", put_message(tmp_path / "spool", "incoming", recipients=people))
    with running(Program("agent", run), PATIENT, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            file = QueueFile(stream.fileno())
            frame = request_frame(
                1, "ID", "a@x.test", file.offset, file.length, "agent", "there", 1.0, 2.0,
                [
                    {"n": each.n, "address": each.recipient.address, "notify": list(each.recipient.notify)}
                    for each in file.recipients()
                ],
                {},
            )  # fmt: skip
            manager.channel.send(frame, [stream.fileno()])
            end, places = file.offset, [each.n for each in file.recipients()]
        time.sleep(0.1)
        manager.channel.close()
        assert is_locked(path)
        until(lambda: record_claims(path, end) == 2, "nothing was claimed")
        with open(path, "rb") as stream:
            assert [is_done(stream.fileno(), n) for n in places] == [True, False, True, False]
        until(lambda: not is_locked(path), "the message was not let go")


def order_one(manager: Manager, path: str) -> tuple[int, int]:
    """Have a queue file with one recipient delivered; the places of its record and of the end of all records."""
    with open(path, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        file = QueueFile(stream.fileno())
        (only,) = file.recipients()
        members = [{"n": only.n, "address": only.recipient.address}]
        frame = request_frame(1, "ID", "a@x.test", file.offset, file.length, "agent", "there", 1.0, 2.0, members, {})
        manager.channel.send(frame, [stream.fileno()])
        return only.n, file.offset


def test_what_a_queue_manager_was_told_and_has_not_recorded_is_left_to_the_next_one(tmp_path: Path) -> None:
    """The answer lies unread in its socket when it dies."""
    queue = Queue(str(tmp_path / "spool"))
    queue.create()
    path = queue.path("incoming", put_message(tmp_path / "spool", "incoming", recipients=(Recipient("a@y.test"),)))
    with running(Program("agent", with_events), PATIENT, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        only, end = order_one(manager, path)
        select.select([manager.channel.socket], [], [], 20)  # it is there
        manager.channel.close()
        until(lambda: record_claims(path, end) == 1, "nothing was claimed")
        with open(path, "rb") as stream:
            assert is_done(stream.fileno(), only)
        until(lambda: not is_locked(path), "the message was not let go")


def test_the_messages_of_answers_are_let_go_by_themselves(tmp_path: Path) -> None:
    queue = Queue(str(tmp_path / "spool"))
    queue.create()
    path = queue.path("incoming", put_message(tmp_path / "spool", "incoming", recipients=(Recipient("a@y.test"),)))
    with running(Program("agent", with_events), PATIENT, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        order_one(manager, path)
        assert list(manager.answers(1)) == [1]
        until(lambda: not is_locked(path), "the message was not let go")
        manager.channel.close()


@BOTH
def test_a_queue_manager_that_died_without_reading_its_answers_holds_up_nobody(
    tmp_path: Path, program: Program
) -> None:
    """Its requests that nobody has read go with it, and the agent serves the next one."""
    with running(program, CONFIG, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        manager.ask(1)
        time.sleep(0.2)  # the answer is there, and not read
        for tag in range(2, 40):
            manager.ask(tag)
        manager.channel.close()
        other = Manager(tmp_path / "agent")
        other.ask(1)
        assert list(other.answers(1)) == [1]


def test_what_had_not_begun_or_was_not_given_when_the_queue_manager_died_is_not_begun_and_not_given(
    tmp_path: Path,
) -> None:
    """Also where the agent has not yet read that far: requests and the end lie behind one another."""

    def run(worker: Worker) -> None:
        async def deliver(request: DeliveryRequest) -> tuple[list[Result], str]:
            (tmp_path / f"begun-{request.nexthop}").touch()
            request.standing.revocable = True
            if request.nexthop == "first":
                time.sleep(0.5)  # the loop sees nothing meanwhile
            request.standing.give()
            (tmp_path / f"given-{request.nexthop}").touch()
            return results(request), ""

        serve_async_agent(worker, deliver, capacity=50)

    with running(Program("agent", run), CONFIG, tmp_path / "agent"):
        manager = Manager(tmp_path / "agent")
        manager.ask(1, "first")
        until((tmp_path / "begun-first").exists, "it does not begin")
        for tag in range(2, 30):
            manager.ask(tag, "later")
        manager.channel.close()
        other = Manager(tmp_path / "agent")
        assert not (tmp_path / "given-first").exists()
        assert not (tmp_path / "given-later").exists()
        other.ask(1, "alive")
        assert list(other.answers(1)) == [1]
