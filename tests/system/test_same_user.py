"""What files and permissions do not keep apart: processes of the same user, inherited descriptors, file attributes."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.system.confinement import Confinement
from tests.system.forked import errno_of, in_child


def confined(confinement: Confinement, action: Any) -> Any:
    def body() -> Any:
        confinement.apply()
        return errno_of(action)

    return in_child(body)


def drop_append(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_APPEND)


class TestOtherProcesses:
    @pytest.mark.parametrize(
        "action",
        [
            lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE),
            lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)),
            lambda pid: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
        ],
        ids=["limits", "processors", "priority"],
    )
    def test_they_cannot_be_tuned(self, action: Any) -> None:
        parent = os.getpid()
        assert confined(Confinement(), lambda: action(parent)) == errno.EPERM

    def test_its_own_limits_can_be_read_and_lowered(self) -> None:
        def lower() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)

        assert confined(Confinement(), lower) == 0


class TestInheritedLog:
    @pytest.fixture
    def log(self, tmp_path: Path) -> int:
        return os.open(tmp_path / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def test_it_can_be_appended_to(self, log: int) -> None:
        assert confined(Confinement(), lambda: os.write(log, b"line\n")) == 0

    def test_it_stays_a_file_to_append_to(self, log: int) -> None:
        assert confined(Confinement(), lambda: drop_append(log)) == errno.EPERM

    def test_it_cannot_be_shortened_where_nothing_else_is_written(self, log: int, tmp_path: Path) -> None:
        assert confined(Confinement(), lambda: os.ftruncate(log, 0)) == errno.EPERM
        assert confined(Confinement(write=(tmp_path,), shorten=False), lambda: os.ftruncate(log, 0)) == errno.EPERM
        assert confined(Confinement(write=(tmp_path,)), lambda: os.ftruncate(log, 0)) == 0

    def test_programs_that_are_run_may_set_flags(self, log: int) -> None:
        assert confined(Confinement(exec=True), lambda: drop_append(log)) == 0


class TestFileAttributes:
    @pytest.mark.parametrize(
        "action",
        [lambda path: os.chmod(path, 0o600), lambda path: os.utime(path), lambda path: os.chown(path, -1, -1)],
        ids=["mode", "times", "owner"],
    )
    def test_they_change_only_where_there_is_something_to_write(self, action: Any, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert confined(Confinement(read=(tmp_path,)), lambda: action(tmp_path / "file")) == errno.EPERM
        assert (
            confined(Confinement(write=(tmp_path,), attributes=False), lambda: action(tmp_path / "file")) == errno.EPERM
        )
        assert confined(Confinement(write=(tmp_path,)), lambda: action(tmp_path / "file")) == 0


class TestListening:
    def test_a_socket_without_a_name_cannot_listen_either(self) -> None:
        """listen(2) would take a free port, which Landlock's rule for bind(2) does not see."""

        def listen() -> None:
            with socket.socket() as sock:
                sock.listen()

        assert confined(Confinement(connect_tcp=None), listen) == errno.EPERM
        assert confined(Confinement(connect_tcp=None, bind_tcp=(0,)), listen) == errno.EPERM
        assert confined(Confinement(connect_tcp=None, bind_tcp=None), listen) == 0
