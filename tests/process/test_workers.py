"""The skeleton around a program: readiness, sessions, wake-ups, watchdog, drain, idle end, faults.

Each test runs a real worker process, forked as master forks it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed
from pillarbox.lib.process import (
    Program,
    Worker,
    serve_channels,
    serve_connections,
    serve_protocol,
    serve_requests,
)
from pillarbox.lib.process.worker import IdleTimer
from tests.process.worker import FAILED, FREE, FULL, READY, running, start

all_parameters()


def answer(channel: Channel, frame: Attributes) -> None:
    if frame.text("do") == "hang":
        time.sleep(600)
    if frame.text("do") == "fault":
        raise RuntimeError("this is\nwrong")
    if frame.text("do") == "flood":
        for _ in range(200_000):
            channel.send({"ok": True, "text": "x" * 1000})
    channel.send(
        {"ok": True, "pid": os.getpid(), "fds": len(frame.fds)} if frame.fds else {"ok": True, "pid": os.getpid()}
    )


async def answer_all(channel: AsyncChannel) -> None:
    while True:
        frame = await channel.receive()
        if frame.text("do") == "hang":
            time.sleep(600)
        if frame.text("do") == "fault":
            raise RuntimeError("this is\nwrong")
        if frame.text("do") == "slow":
            await asyncio.sleep(0.3)
        await channel.send({"ok": True, "pid": os.getpid()})


def requests(worker: Worker) -> None:
    serve_requests(worker, answer)


def channels(worker: Worker) -> None:
    serve_channels(worker, answer_all)


BOTH = pytest.mark.parametrize("run", [requests, channels])
Run = Callable[[Worker], None]


def program(run: Run, **more: Any) -> Program:
    return Program(name="trial", run=run, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trial"


CONFIG = Config.for_tests()


def connect(path: Path) -> Channel:
    return Channel.connect(str(path), 10.0)


def closed(channel: Channel) -> bool:
    try:
        channel.receive(10.0)
    except ChannelClosed:
        return True
    return False


class TestService:
    @BOTH
    def test_requests_are_answered_on_many_connections(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            clients = [connect(path) for _ in range(20)]
            for _ in range(3):
                for client in clients:
                    client.send({"do": "x"})
                assert {client.receive().integer("pid") for client in clients} == {process.pid}

    @BOTH
    @pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{}", b"GET / HTTP/1.0\r\n\r\n"])
    def test_garbage_ends_its_connection_and_no_other(self, path: Path, run: Run, data: bytes) -> None:
        with running(program(run), CONFIG, path) as process:
            good, bad = connect(path), connect(path)
            bad.send_raw(data)
            assert closed(bad)
            assert good.call({"do": "x"}).boolean("ok")
            assert any(line.startswith("warning: trial: protocol error") for line in process.lines)

    @BOTH
    def test_descriptors_that_nobody_wants_are_closed(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            client = connect(path)
            client.call({"do": "x"})
            before = process.descriptors
            for _ in range(10):
                client.call({"do": "x"}, [0, 1, 2])
            assert process.descriptors == before

    @BOTH
    def test_closed_connections_leave_no_descriptor(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            connect(path).call({"do": "x"})
            process.until(lambda: not process.sessions)
            before = process.descriptors
            for _ in range(20):
                client = connect(path)
                client.call({"do": "x"})
                client.close()
            process.until(lambda: process.descriptors <= before)

    def test_a_peer_that_never_reads_does_not_stop_the_others_for_ever(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pillarbox.lib.process import rounds

        monkeypatch.setattr(rounds, "_SEND_LIMIT", b"\0" * 8 + (50_000).to_bytes(8, "little"))
        with running(program(requests), CONFIG, path):
            deaf, good = connect(path), connect(path)
            deaf.send({"do": "flood"})
            assert good.call({"do": "x"}).boolean("ok")

    def test_a_fault_in_one_session_of_an_event_program_ends_that_session_only(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            good, bad = connect(path), connect(path)
            bad.send({"do": "fault"})
            assert closed(bad)
            assert good.call({"do": "x"}).boolean("ok")
            process.until(
                lambda: any("panic: unhandled: RuntimeError: this is?wrong" in line for line in process.lines)
            )

    def test_a_fault_of_a_blocking_program_is_told_and_ends_it(self, path: Path) -> None:
        process = start(program(requests), CONFIG, path)
        connect(path).send({"do": "fault"})
        assert process.end() == 1
        assert FAILED + b"RuntimeError: this is\nwrong (" in process.hear()
        assert process.lines[-1].startswith("fatal: trial: RuntimeError: this is?wrong (")


class TestSessions:
    @BOTH
    def test_the_ceiling_is_told_and_kept(self, path: Path, run: Run) -> None:
        service = Service("trial", "trial", sessions=2)
        with running(program(run), CONFIG, path, service) as process:
            clients = [connect(path) for _ in range(2)]
            for client in clients:
                client.call({"do": "x"})
            process.until_said(FULL)
            third = connect(path)
            third.send({"do": "x"})
            with pytest.raises(ChannelClosed, match="timed out"):
                third.receive(0.2)
            clients[0].close()
            process.until_said(FREE)
            assert third.receive(10.0).boolean("ok")
            process.until_said(FULL, 2)

    def test_the_title_says_what_it_is_and_how_many_sessions_it_has(self, path: Path) -> None:
        service = Service("submission", "smtpd")
        with running(Program("smtpd", channels), CONFIG, path, service) as process:
            assert process.title == "pillarbox: smtpd [submission]"
            clients = [connect(path)]
            clients[0].call({"do": "x"})
            process.until(lambda: process.title == "pillarbox: smtpd [submission] 1 session")
            clients += [connect(path), connect(path)]
            process.until(lambda: process.title == "pillarbox: smtpd [submission] 3 sessions")

    def test_the_title_of_a_service_named_as_its_program(self, path: Path) -> None:
        with running(program(requests), CONFIG, path) as process:
            assert process.title == "pillarbox: trial"


class TestEnd:
    @BOTH
    def test_told_to_stop_it_ends_idle_connections(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            idle = connect(path)
            idle.call({"do": "x"})
            process.kill(signal.SIGTERM)
            assert process.end() == 0
            assert closed(idle)

    @BOTH
    def test_it_ends_when_master_is_gone(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            process.status.shutdown(socket.SHUT_RDWR)
            assert process.end() == 0

    @BOTH
    @pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.01, 0.03])
    def test_told_to_stop_at_its_very_beginning_it_ends(self, path: Path, run: Run, delay: float) -> None:
        process = start(program(run), CONFIG, path)
        time.sleep(delay)
        process.kill(signal.SIGTERM)
        assert process.end() in (0, -signal.SIGTERM)

    def test_told_to_stop_while_it_prepares_it_ends(self, path: Path) -> None:
        def prepare(worker: Worker) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        for run in (requests, channels):
            assert start(program(run, prepare=prepare), CONFIG, path).end() == 0

    def test_a_program_is_told_to_stop_once_it_has_started_and_only_once(self, path: Path) -> None:
        def run(worker: Worker) -> None:
            steps: list[str] = []

            async def begin() -> None:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.05)
                steps.append("start")

            worker.on_stop = lambda: steps.append("stop")
            serve_channels(worker, answer_all, begin)
            path.with_name("steps").write_text(" ".join(steps))

        assert start(program(run), CONFIG, path).end() == 0
        assert path.with_name("steps").read_text() == "start stop"

    def test_a_request_under_way_is_finished(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            client = connect(path)
            client.call({"do": "x"})
            client.send({"do": "slow"})
            time.sleep(0.05)
            process.kill(signal.SIGTERM)
            assert client.receive(10.0).boolean("ok")
            assert process.end() == 0

    def test_a_session_that_does_not_end_is_broken_off(self, path: Path) -> None:
        async def stubborn(connection: socket.socket) -> None:
            await asyncio.sleep(600)

        def run(worker: Worker) -> None:
            serve_connections(worker, stubborn)

        with running(program(run), Config.for_tests(drain_timeout="0.2"), path) as process:
            client = connect(path)
            process.until(lambda: process.sessions)
            process.kill(signal.SIGTERM)
            assert process.end() == 0
            assert closed(client)
            assert "warning: trial: 1 sessions broken off after 0.2s" in process.lines

    def test_no_connection_is_accepted_any_more(self, path: Path) -> None:
        """It waits for the process that comes after: nobody is refused."""
        with running(program(channels), CONFIG, path) as process:
            busy = connect(path)
            busy.call({"do": "x"})
            busy.send({"do": "slow"})
            time.sleep(0.05)
            process.kill(signal.SIGTERM)
            time.sleep(0.05)
            late = connect(path)
            late.send({"do": "x"})
            assert process.end() == 0
            connection, _ = process.listener.accept()
            assert Channel(connection).receive(10.0).text("do") == "x"


class TestRetiring:
    def test_sessions_go_on_and_the_process_ends_with_the_last(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            first, second = connect(path), connect(path)
            for client in (first, second):
                client.call({"do": "x"})
            process.retire()
            process.until(lambda: process.title.endswith("2 sessions (retired)"))
            first.close()
            process.until(lambda: "1 session (retired)" in process.title)
            assert second.call({"do": "x"}).boolean("ok")
            second.close()
            assert process.end() == 0
            assert process.lines == []

    def test_no_new_session_is_taken(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            client = connect(path)
            client.call({"do": "x"})
            process.retire()
            process.until(lambda: "(retired)" in process.title)
            late = connect(path)
            late.send({"do": "x"})
            assert client.call({"do": "x"}).boolean("ok")
            client.close()
            assert process.end() == 0
            connection, _ = process.listener.accept()
            assert Channel(connection).receive(10.0).text("do") == "x"

    def test_an_idle_process_ends_at_once(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            process.retire()
            assert process.end() == 0

    def test_a_retired_process_can_still_be_stopped(self, path: Path) -> None:
        with running(program(channels), CONFIG, path) as process:
            client = connect(path)
            client.call({"do": "x"})
            process.retire()
            process.until(lambda: "(retired)" in process.title)
            process.kill(signal.SIGTERM)
            assert closed(client)
            assert process.end() == 0

    def test_what_cannot_retire_drains(self, path: Path) -> None:
        with running(program(requests), CONFIG, path) as process:
            client = connect(path)
            client.call({"do": "x"})
            process.retire()
            assert process.end() == 0

    def test_a_connection_that_comes_to_nothing_is_no_session(self, path: Path) -> None:
        """Else a process that retires would wait for it."""

        def run(worker: Worker) -> None:
            def broken(released: Callable[[], None]) -> asyncio.BaseProtocol:
                raise AssertionError("never called")

            async def refuse(*_: object, **__: object) -> None:
                raise OSError("gone")

            async def begin() -> None:
                asyncio.get_running_loop().connect_accepted_socket = refuse  # type: ignore[assignment,method-assign]

            serve_protocol(worker, broken, begin)

        loops = pytest.MonkeyPatch()
        loops.setattr("pillarbox.lib.process.events.new_event_loop", asyncio.new_event_loop)  # its methods can be set
        try:
            with running(program(run), CONFIG, path) as process:
                client = connect(path)
                assert closed(client)
                process.retire()
                assert process.end() == 0
        finally:
            loops.undo()


class TestWatchdog:
    @BOTH
    def test_a_process_that_hangs_is_ended(self, path: Path, run: Run) -> None:
        with running(program(run), Config.for_tests(daemon_timeout="1s"), path) as process:
            connect(path).send({"do": "hang"})
            assert process.end() == -signal.SIGALRM

    @BOTH
    def test_a_process_that_is_idle_is_not(self, path: Path, run: Run) -> None:
        with running(program(run), Config.for_tests(daemon_timeout="1s"), path) as process:
            time.sleep(1.5)
            assert process.alive

    def test_a_process_that_hangs_before_it_is_ready_is_ended(self, path: Path) -> None:
        def prepare(worker: Worker) -> None:
            time.sleep(600)

        process = start(program(requests, prepare=prepare), Config.for_tests(daemon_timeout="1s"), path)
        assert process.end() == -signal.SIGALRM
        assert READY not in process.hear()


class TestWakeUp:
    @BOTH
    def test_reaches_the_program(self, path: Path, run: Run) -> None:
        def woken(worker: Worker) -> None:
            worker.on_wakeup = path.with_name("woken").touch
            run(worker)

        with running(program(woken), CONFIG, path) as process:
            process.wake()
            process.until(path.with_name("woken").exists)

    @BOTH
    def test_is_nothing_to_a_program_that_waits_for_none(self, path: Path, run: Run) -> None:
        with running(program(run), CONFIG, path) as process:
            process.wake()
            assert connect(path).call({"do": "x"}).boolean("ok")


class TestSpareProcesses:
    @BOTH
    def test_a_spare_process_ends_when_it_is_idle(self, path: Path, run: Run) -> None:
        with running(program(run), Config.for_tests(max_idle="0s"), path, spare=True) as process:
            assert process.end() == 0

    def test_a_warm_one_does_not(self, path: Path) -> None:
        with running(program(requests), Config.for_tests(max_idle="0s"), path) as process:
            time.sleep(0.5)
            assert process.alive

    def test_not_while_it_has_a_session(self, path: Path) -> None:
        with running(program(channels), Config.for_tests(max_idle="0s"), path, spare=True) as process:
            client = connect(path)
            client.call({"do": "x"})
            time.sleep(0.5)
            assert process.alive
            client.close()
            assert process.end() == 0

    def test_connections_that_only_stay_open_do_not_hold_it(self, path: Path) -> None:
        with running(program(requests), Config.for_tests(max_idle="0s"), path, spare=True) as process:
            connect(path).call({"do": "x"})
            assert process.end() == 0

    def test_the_timer(self) -> None:
        class Spare:
            spare, sessions, sessions_may_idle, under_way, served, max_idle = True, 0, False, 0, 0, 100.0

        now = 0.0
        worker: Any = Spare()
        timer = IdleTimer(worker, lambda: now)

        def expired_at(moment: float) -> bool:
            nonlocal now
            now = moment
            return timer.expired()

        assert not expired_at(100.0) and expired_at(100.5)
        worker.sessions = 1
        assert not expired_at(200.0)
        worker.sessions_may_idle = True
        assert expired_at(301.0)
        worker.served += 1
        assert not expired_at(302.0) and not expired_at(402.0) and expired_at(402.5)
        worker.under_way = 1
        assert not expired_at(900.0)
        worker.under_way, worker.spare = 0, False
        assert not expired_at(9000.0)


def test_a_protocol_per_connection(path: Path) -> None:
    class Echo(asyncio.Protocol):
        def __init__(self, released: Callable[[], None]) -> None:
            self.released = released

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data.upper())

        def connection_lost(self, error: Exception | None) -> None:
            self.released()

    def run(worker: Worker) -> None:
        serve_protocol(worker, Echo)

    with running(program(run), CONFIG, path, Service("trial", "trial", sessions=1)) as process:
        for _ in range(3):
            client = connect(path)
            client.send_raw(b"hello")
            assert client.socket.recv(100) == b"HELLO"
            client.close()
        process.until_said(FREE, 3)


def test_lack_of_descriptors_is_said_once_a_second_and_not_in_a_circle(path: Path) -> None:
    import resource

    def run(worker: Worker) -> None:
        # The limit is on numbers: there may be gaps between those that earlier tests have left open, and what they
        # left to the garbage collector is not to come free later.
        gc.collect()
        used = {int(name) for name in os.listdir("/proc/self/fd")}
        limit = [number for number in range(max(used) + 8) if number not in used][6]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        requests(worker)

    with running(program(run), CONFIG, path) as process:
        clients: list[Channel] = []

        def lacks() -> bool:
            if any("accept: Too many open files" in line for line in process.lines):
                return True
            if len(clients) < 60:  # as many as may wait
                clients.append(connect(path))
            return False

        process.until(lacks)
        clients.append(connect(path))
        time.sleep(0.5)
        assert len(process.lines) < 10
        assert clients[0].call({"do": "x"}).boolean("ok")
        for client in clients[:-1]:
            client.close()
        assert clients[-1].call({"do": "x"}).boolean("ok")
