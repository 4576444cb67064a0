"""Supervising: processes start, are replaced, are slowed down, give way to new ones, and end in order."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.lib.process import Program, Worker
from pillarbox.master import throttle
from tests.lab.ports import free_port
from tests.master import trial
from tests.master.trial import Suite, service


class TestStart:
    def test_returns_when_every_service_answers(self, suite: Suite) -> None:
        suite.set(service("one"), service("two", warm=3, processes=3), service("later", warm=0))
        assert suite.start() == "ok"
        assert suite.ask("one") in suite.children("one")
        suite.until(lambda: len(suite.children("two")) == 3)
        assert suite.children("later") == set()

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            ("cannot", "bad: RuntimeError: no such key file"),
            ("prepares", "bad: RuntimeError: no such key file"),
            ("dies", "bad: the process ended at once (exit status 7)"),
        ],
    )
    def test_fails_with_the_reason_and_leaves_nothing(self, suite: Suite, command: str, reason: str) -> None:
        suite.set(service("fine"), service("bad", command))
        assert suite.start().startswith(reason)
        assert suite.end() == 69
        with pytest.raises(ChannelClosed, match="Connection refused"):
            suite.connect("fine")

    def test_fails_where_a_port_is_in_use(self, suite: Suite) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            suite.set(service("fine"), service("net", listen=(f"inet:127.0.0.1:{port}",)))
            answer = suite.start()
        assert answer == (
            f"net: cannot listen on 127.0.0.1 port {port}: Address already in use; another program listens there"
        )

    def test_a_user_that_does_not_exist(self, suite: Suite) -> None:
        assert os.getuid() == 0, "only root can start programs as other users"
        suite.set(service("one"), mail_owner="no-such-user")
        assert "no such user" in suite.start()

    def test_a_process_on_demand(self, suite: Suite) -> None:
        suite.set(service("later", warm=0))
        assert suite.start() == "ok"
        assert suite.ask("later") in suite.children("later")


class TestReplacement:
    def test_a_process_that_dies_is_replaced(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        first = suite.ask("one")
        suite.tell("one", "die")
        assert suite.ask("one") != first
        assert suite.logged(f"warning: process serve pid {first} of service one killed by signal 9")

    def test_the_first_pause_is_one_second_then_it_doubles(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        for pause in (1, 2):
            suite.tell("one", "die")
            suite.until(lambda pause=pause: suite.logged(f"-- the service starts again in {pause}s"))
        assert not suite.logged("again in 60s")

    def test_the_death_of_one_does_not_stop_the_others(self, suite: Suite) -> None:
        suite.set(service("one"), service("two"))
        suite.start()
        two = suite.ask("two")
        suite.tell("one", "die")
        assert suite.ask("two") == two

    def test_a_hanging_process_is_ended_by_its_watchdog(self, suite: Suite) -> None:
        suite.set(service("one"), daemon_timeout="1s")
        suite.start()
        first = suite.ask("one")
        suite.tell("one", "hang")
        assert suite.ask("one") != first
        assert suite.logged(f"pid {first} of service one ended by its watchdog: it hung")

    def test_a_process_that_leaves_is_replaced_at_once(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        first = suite.ask("one")
        time.sleep(1.1)
        suite.tell("one", "leave")
        assert suite.ask("one") != first
        assert not suite.logged("warning:")

    def test_a_program_that_only_ends_does_not_make_master_spin(
        self, suite: Suite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starts, pause = suite.root / "starts", 0.5
        monkeypatch.setattr(throttle, "FIRST_PAUSE", pause)

        def ends(worker: Worker) -> None:
            with starts.open("a") as stream:
                stream.write(f"{time.monotonic()} {suite.cpu_seconds(os.getppid())}\n")
            worker.ready()

        trial.PROGRAMS["brief"] = Program("brief", ends, owner="")
        suite.set(service("one", "brief"), service("two"))
        suite.start()
        suite.until(lambda: starts.read_text().count("\n") >= 3)
        (first, _), (second, used), (third, used_then) = (
            map(float, line.split()) for line in starts.read_text().splitlines()[:3]
        )
        assert second - first >= pause and third - second >= pause, "master forks in a circle"
        assert used_then - used < (third - second) / 2, "master waits in a circle"


class TestMoreProcesses:
    def test_a_client_that_waits_gets_a_further_process_up_to_the_limit(self, suite: Suite) -> None:
        suite.set(service("one", sessions=1, processes=3))
        suite.start()
        held = [suite.connect("one") for _ in range(3)]
        pids = {channel.call({"do": "pid"}).integer("pid") for channel in held}
        assert len(pids) == 3
        late = suite.connect("one")
        late.send({"do": "pid"})
        with pytest.raises(ChannelClosed, match="timed out"):
            late.receive(0.3)
        held[0].close()
        assert late.receive(20).integer("pid") in pids

    def test_spare_processes_end_when_they_are_idle_and_the_warm_one_stays(self, suite: Suite) -> None:
        suite.set(service("one", sessions=1, processes=3), max_idle="0s")
        suite.start()
        held = [suite.connect("one") for _ in range(3)]
        for channel in held:
            channel.call({"do": "pid"})
        assert len(suite.children("one")) == 3
        for channel in held:
            channel.close()
        suite.until(lambda: len(suite.children("one")) == 1)
        assert not suite.logged("warning:")

    def test_workers_have_no_descriptors_of_other_services(self, suite: Suite) -> None:
        suite.set(*(service(f"s{n}", warm=2, processes=2) for n in range(6)))
        suite.start()
        suite.until(lambda: len(suite.children("s5")) == 2)

        def spread() -> int:
            pids = suite.children("s0") | suite.children("s5")
            counts = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
            return max(counts) - min(counts)

        suite.until(lambda: spread() <= 1)  # a process inherits nothing of its older siblings


class TestReload:
    def test_workers_are_replaced(self, suite: Suite) -> None:
        suite.set(service("one"), service("two"))
        suite.start()
        before = suite.children()
        suite.reload()
        suite.until(lambda: suite.ask("one") not in before)
        suite.until(lambda: not suite.children() & before)
        assert not suite.logged("warning:")

    def test_no_connection_is_refused_meanwhile(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        done, failed, answered = threading.Event(), list[str](), list[int]()

        def knock() -> None:
            while not done.is_set():
                try:
                    answered.append(suite.ask("one"))
                except ChannelClosed as error:
                    failed.append(str(error))

        thread = threading.Thread(target=knock)
        thread.start()
        for _ in range(5):
            suite.reload()
            time.sleep(0.05)
        done.set()
        thread.join()
        # A connection that an old process had accepted, and was asked nothing on yet, may end; none is refused.
        assert not any("connect" in error for error in failed), failed
        assert len(set(answered)) > 1

    def test_the_port_stays_open(self, suite: Suite) -> None:
        port = free_port()
        suite.set(service("net", listen=(f"inet:127.0.0.1:{port}",), processes=2))
        suite.start()

        def who() -> int:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                return Channel(client).call({"do": "pid"}).integer("pid")

        first = who()
        os.kill(first, signal.SIGSTOP)  # it will not take the next client, and not end either
        suite.reload()
        assert who() != first
        os.kill(first, signal.SIGCONT)

    def test_a_single_process_is_never_two(self, suite: Suite) -> None:
        suite.set(service("only", processes=1), drain_timeout="2s")
        suite.start()
        old = suite.ask("only")
        os.kill(old, signal.SIGSTOP)
        suite.reload()
        time.sleep(0.5)
        assert suite.children("only") == {old}
        os.kill(old, signal.SIGCONT)
        suite.until(lambda: suite.ask("only") != old)

    def test_a_service_on_demand_still_starts(self, suite: Suite) -> None:
        suite.set(service("later", warm=0))
        suite.start()
        for _ in range(2):
            suite.reload()
        assert suite.ask("later") in suite.children("later")

    def test_services_come_and_go(self, suite: Suite) -> None:
        suite.set(service("one"), service("two"))
        suite.start()
        suite.until(lambda: len(suite.children("one")) == 1)
        former = suite.children("one")
        suite.set(service("two"), service("three"))
        suite.reload()
        assert suite.ask("three")
        # Until they are reaped: one that is ending has no title any more, and its socket still.
        suite.until(lambda: not suite.children() & former)
        with pytest.raises(ChannelClosed, match="Connection refused"):
            suite.ask("one")

    def test_a_further_socket_leaves_the_others_alone(self, suite: Suite) -> None:
        first, second = free_port(), free_port()
        suite.set(service("net", listen=(f"inet:127.0.0.1:{first}",)))
        suite.start()
        waiting = socket.create_connection(("127.0.0.1", first))
        suite.set(service("net", listen=(f"inet:127.0.0.1:{first}", f"inet:127.0.0.1:{second}", "public")))
        suite.reload()
        for port in (first, second):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                assert Channel(client).call({"do": "pid"}).boolean("ok")
        assert suite.connect("net", "public").call({"do": "pid"}).boolean("ok")
        waiting.close()

    def test_a_port_in_use_refuses_the_reload_and_changes_nothing(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        before = suite.ask("one")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            suite.set(service("one", listen=("private", "public")), service("net", listen=(f"inet:127.0.0.1:{port}",)))
            suite.reload()
        assert suite.logged("error: reload refused, the old configuration stays: net: cannot listen on")
        assert suite.ask("one") == before

    def test_a_user_that_does_not_exist_refuses_the_reload(self, suite: Suite) -> None:
        assert os.getuid() == 0, "only root can start programs as other users"
        suite.set(service("one"))
        suite.start()
        before = suite.ask("one")
        suite.set(service("one", listen=("private", "public")), mail_owner="no-such-user")
        suite.reload()
        assert suite.logged("error: reload refused, the old configuration stays: no such user")
        assert suite.ask("one") == before

    def test_one_right_after_the_other_leaves_no_process_of_the_first(self, suite: Suite) -> None:
        """A process that has just been forked must hear that it is to end; and nobody but it."""
        suite.set(service("one", warm=4, processes=4))
        suite.start()
        seen: set[int] = set()
        for _ in range(10):
            seen |= suite.children()
            suite.reload()
        suite.until(lambda: not suite.children() & seen)
        assert not suite.logged("terminating")

    def test_descriptors_do_not_pile_up(self, suite: Suite) -> None:
        suite.set(service("one"), service("two", warm=2, processes=2))
        suite.start()
        counts = []
        for _ in range(4):
            old = suite.children()
            suite.reload()
            suite.until(lambda old=old: not suite.children() & old and len(suite.children()) == 3)
            counts.append(len(os.listdir(f"/proc/{suite.pid}/fd")))
        # What belongs to a worker that has just gone is let go a moment later; nothing else may be left.
        suite.until(lambda: len(os.listdir(f"/proc/{suite.pid}/fd")) == min(counts))


class TestStop:
    def test_ends_everything(self, suite: Suite) -> None:
        suite.set(service("one"), service("two", warm=3, processes=3))
        suite.start()
        workers = suite.children()
        assert suite.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert suite.logged("terminating: draining sessions")

    def test_goes_from_outside_in(self, suite: Suite) -> None:
        suite.set(
            service("inner"),
            service("command", listen=("public",)),
            service("outer", listen=(f"inet:127.0.0.1:{free_port()}",)),
        )
        suite.start()
        (inner,), (command,), (outer,) = (suite.children(name) for name in ("inner", "command", "outer"))
        os.kill(outer, signal.SIGSTOP)
        suite.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert suite.children() == {inner, command, outer}, "the helpers left before those they serve"
        os.kill(command, signal.SIGSTOP)
        os.kill(outer, signal.SIGCONT)
        suite.until(lambda: suite.children() == {inner, command})
        time.sleep(0.2)
        assert suite.children() == {inner, command}
        os.kill(command, signal.SIGCONT)
        assert suite.end() == 0

    def test_a_process_that_does_not_end_is_killed(self, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
        from pillarbox.master import supervisor

        monkeypatch.setattr(supervisor, "KILL_GRACE", 0.2)
        suite.set(service("one"), drain_timeout="0.3s")
        suite.start()
        pid = suite.ask("one")
        os.kill(pid, signal.SIGSTOP)
        assert suite.stop() == 0
        assert suite.logged(f"warning: process serve pid {pid} does not end: killed")

    def test_workers_end_when_the_supervisor_is_killed(self, suite: Suite) -> None:
        suite.set(service("one"), service("two"))
        suite.start()
        workers = suite.children()
        suite.signal(signal.SIGKILL)
        assert suite.end() == -signal.SIGKILL
        suite.until(lambda: not any(_runs(pid) for pid in workers))

    def test_twice_is_once(self, suite: Suite) -> None:
        suite.set(service("one"))
        suite.start()
        suite.signal(signal.SIGTERM)
        suite.signal(signal.SIGINT)
        assert suite.end() == 0


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_wake_ups_come_by_the_clock(suite: Suite) -> None:
    def woken(worker: trial.Worker) -> None:
        def note() -> None:
            with (suite.root / "woken").open("a") as stream:
                stream.write("x")

        worker.on_wakeup = note
        trial.serve(worker)

    trial.PROGRAMS["woken"] = trial.Program("woken", woken, owner="")
    suite.set(service("one", "woken", wakeup=0.1))
    suite.start()
    suite.until(lambda: (suite.root / "woken").exists() and len((suite.root / "woken").read_text()) >= 2)


def test_a_wake_up_starts_a_process_where_none_is_kept_warm(suite: Suite) -> None:
    def woken(worker: trial.Worker) -> None:
        with (suite.root / "woken").open("a") as stream:
            stream.write("x")
        raise SystemExit(0)

    trial.PROGRAMS["rare"] = trial.Program("rare", woken, owner="")
    suite.set(service("one"), service("two", "rare", warm=0, wakeup=0.1))
    suite.start()
    suite.until(lambda: (suite.root / "woken").exists() and len((suite.root / "woken").read_text()) >= 2)


def test_the_service_manager_hears_of_each_step(suite: Suite) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(suite.root / "notify")
        manager.bind(address)
        manager.settimeout(20)
        suite.set(service("one"))
        suite.start(notify=address)
        assert manager.recv(1000) == b"READY=1"
        suite.reload()
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000) == b"READY=1"
        suite.stop()
        assert manager.recv(1000) == b"STOPPING=1"
