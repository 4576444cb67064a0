"""The parts of master that need no processes: pauses, the decision to start one, sockets."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.process import Program
from pillarbox.lib.queue import Queue
from pillarbox.master.roster import Child, Station, in_stage
from pillarbox.master.sockets import GROUP_MODE, BindError, address_of, bind_service
from pillarbox.master.throttle import Throttle
from tests.lab.ports import free_port

all_parameters()


class TestThrottle:
    def test_one_accident_costs_a_second(self) -> None:
        throttle = Throttle(60.0)
        assert throttle.allows(0.0)
        assert throttle.died(0.5, 100.0) == 1.0
        assert not throttle.allows(100.9) and throttle.allows(101.0)

    def test_deaths_in_a_row_double_it_up_to_the_longest(self) -> None:
        throttle = Throttle(10.0)
        assert [throttle.died(0.0, 0.0) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]

    def test_a_long_life_is_no_fault(self) -> None:
        throttle = Throttle(60.0)
        throttle.died(0.0, 0.0)
        assert throttle.died(11.0, 100.0) == 0.0
        assert throttle.allows(100.0)
        assert throttle.died(0.0, 200.0) == 1.0, "the former pause is not forgotten"

    def test_a_life_must_outlast_the_pause(self) -> None:
        throttle = Throttle(60.0)
        for _ in range(6):
            throttle.died(0.0, 0.0)
        assert throttle.died(20.0, 0.0) == 60.0
        assert throttle.died(60.0, 0.0) == 0.0

    def test_an_end_without_a_fault_costs_nothing_unless_it_is_at_once(self) -> None:
        throttle = Throttle(60.0)
        throttle.ended(5.0, 100.0)
        assert throttle.allows(100.0)
        throttle.ended(0.1, 100.0)
        throttle.ended(0.1, 101.0)
        assert not throttle.allows(101.5) and throttle.allows(102.0)


class TestStation:
    @staticmethod
    def make(children: int = 0, full: int = 0, stopping: int = 0, **service: Any) -> Station:
        station = Station(
            Service("s", "c", **service), Program("c", lambda worker: None), Config.for_tests(), [], Throttle(60.0)
        )
        for n in range(children + full + stopping):
            child = Child(n, None, station, 0.0)  # type: ignore[arg-type]
            child.full, child.stopping = children <= n < children + full, n >= children + full
            station.children[n] = child
        return station

    def test_warm_processes_are_kept_in_number(self) -> None:
        assert self.make(0).wanted(0.0)
        assert not self.make(1).wanted(0.0)
        assert self.make(stopping=1).wanted(0.0)
        assert not self.make(0, warm=0).wanted(0.0)

    def test_a_further_process_only_where_all_are_full(self) -> None:
        assert self.make(full=1, processes=2).crowded(0.0)
        assert not self.make(1, full=1, processes=3).crowded(0.0)
        assert not self.make(full=2, processes=2).crowded(0.0)
        assert self.make(warm=0).crowded(0.0)

    def test_a_retired_one_starts_nothing(self) -> None:
        station = self.make(0)
        station.retired = True
        assert not station.wanted(0.0) and not station.crowded(0.0)

    def test_none_in_a_pause(self) -> None:
        station = self.make(0)
        station.throttle.died(0.0, 0.0)
        assert not station.wanted(0.5) and not station.crowded(0.5) and station.wanted(1.0)

    def test_stages(self) -> None:
        stations = [
            self.make(listen=each) for each in (("inet:smtp",), ("public",), ("private",), ("inet:25", "public"))
        ]
        assert [station.stage for station in stations] == [0, 1, 2, 0]
        assert in_stage(stations, 0) == [stations[0], stations[3]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)  # names in the file system relative to it stay short enough for a UNIX socket
    Queue("spool").create()
    return Config.for_tests(queue_directory="spool", inet_interfaces="127.0.0.1")


class TestSockets:
    def test_a_unix_socket_and_its_rights(self, config: Config) -> None:
        listeners = bind_service(config, Service("s", "c", ("private", "public")), mode=GROUP_MODE)
        modes = {folder: stat.S_IMODE(os.stat(f"spool/{folder}/s").st_mode) for folder in ("private", "public")}
        assert modes == {"private": 0o660, "public": 0o666}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("spool/private/s")
        for listener in listeners:
            listener.close()

    def test_its_owner(self, config: Config) -> None:
        assert os.getuid() == 0, "only root can give a socket away"
        (listener,) = bind_service(config, Service("s", "c"), 61001, 61002)
        found = os.stat("spool/private/s")
        assert (found.st_uid, found.st_gid) == (61001, 61002)
        listener.close()

    def test_what_a_former_process_has_left_is_replaced(self, config: Config) -> None:
        for _ in range(2):
            (listener,) = bind_service(config, Service("s", "c"))
            listener.close()

    def test_ports_are_counted_from_the_base(self, config: Config) -> None:
        base = free_port() - 25
        shifted = Config({**config.values, "base_port": str(base)})
        (listener,) = bind_service(shifted, Service("s", "c", ("inet:smtp",)))
        assert listener.getsockname() == ("127.0.0.1", base + 25)
        listener.close()

    def test_accepted_sockets_know_that_they_are_tcp(self, config: Config) -> None:
        (listener,) = bind_service(config, Service("s", "c", (f"inet:{free_port()}",)))
        assert listener.proto == socket.IPPROTO_TCP
        listener.close()

    def test_a_port_in_use_is_named(self, config: Config) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(BindError, match=f"s: cannot listen on 127.0.0.1 port {port}: Address already in use"):
                bind_service(config, Service("s", "c", (f"inet:{port}",)))

    def test_a_port_that_cannot_be(self, config: Config) -> None:
        high = Config({**config.values, "base_port": "60000"})
        with pytest.raises(BindError, match="there is no port 69999; choose a smaller base_port"):
            bind_service(high, Service("s", "c", ("inet:9999",)))

    def test_an_address_that_is_not_ours(self, config: Config) -> None:
        with pytest.raises(BindError, match=r"cannot listen on 192\.0\.2\.1 port"):
            bind_service(config, Service("s", "c", (f"inet:192.0.2.1:{free_port()}",)))

    def test_a_path_that_is_too_long_for_a_socket(self, tmp_path: Path) -> None:
        spool = tmp_path / ("x" * 100)
        Queue(str(spool)).create()
        with pytest.raises(BindError, match="too long; choose a shorter queue_directory"):
            bind_service(Config.for_tests(queue_directory=str(spool)), Service("s", "c"))

    def test_a_directory_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(BindError, match="No such file or directory"):
            bind_service(Config.for_tests(queue_directory=str(tmp_path / "x")), Service("s", "c"))

    def test_one_failure_closes_the_others(self, config: Config) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BindError):
            bind_service(config, Service("s", "c", (f"inet:{free_port()}", f"inet:192.0.2.1:{free_port()}", "private")))
        assert len(os.listdir("/proc/self/fd")) <= before

    @pytest.mark.parametrize("interfaces", ["all", "loopback-only", "127.0.0.1, 127.0.0.2"])
    def test_interfaces(self, config: Config, interfaces: str) -> None:
        port = free_port("0.0.0.0")
        listeners = bind_service(
            Config({**config.values, "inet_interfaces": interfaces}), Service("s", "c", (f"inet:{port}",))
        )
        addresses = {listener.getsockname()[0] for listener in listeners}
        expected = {"all": {"0.0.0.0", "::"}, "loopback-only": {"127.0.0.1", "::1"}}
        assert addresses <= expected.get(interfaces, {"127.0.0.1", "127.0.0.2"})
        assert addresses & {"0.0.0.0", "127.0.0.1"}
        for listener in listeners:
            listener.close()

    def test_sockets_of_a_former_generation_are_taken_over(self, config: Config) -> None:
        port, other = free_port(), free_port()
        old = bind_service(config, Service("s", "c", (f"inet:{port}", "private")))
        new = bind_service(config, Service("s", "c", (f"inet:{other}", f"inet:{port}", "private")), inherited=old)
        assert new[1] is old[0] and new[2] is old[1]
        assert address_of(new[0]) == ("127.0.0.1", other)
        assert address_of(new[2]) == "spool/private/s"
        for listener in new:
            listener.close()
