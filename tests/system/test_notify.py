"""sd_notify against a datagram socket of our own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.system.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        path = str(tmp_path / "notify")
        server.bind(path)
        server.setblocking(False)
        yield server, path


def test_every_message(manager: tuple[socket.socket, str]) -> None:
    server, path = manager
    notifier = Notifier({"NOTIFY_SOCKET": path}, clock=lambda: 7_000_123)
    notifier.ready("all services accept connections")
    notifier.reloading()
    notifier.status("draining\nsecond line")
    notifier.watchdog()
    notifier.stopping()
    assert [server.recv(500).decode() for _ in range(5)] == [
        "READY=1\nSTATUS=all services accept connections",
        "RELOADING=1\nMONOTONIC_USEC=7000",
        "STATUS=draining",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_an_abstract_address() -> None:
    name = f"pillarbox-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name)
        assert Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert server.recv(100) == b"READY=1"


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({})
    assert not notifier.ready()
    assert notifier.watchdog_interval is None


def test_a_manager_that_has_gone_is_no_error(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_a_manager_that_does_not_read_does_not_block_us(manager: tuple[socket.socket, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager[1]})
    assert not all(notifier.status("x" * 1000) for _ in range(2000))


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("20000000", "", 10.0),
        ("20000000", "ours", 10.0),
        ("20000000", "1", None),
        ("soon", "", None),
        ("0", "", None),
    ],
)
def test_the_watchdog_interval_is_half_the_limit(usec: str, pid: str, interval: float | None) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid
    assert Notifier({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_interval == interval
