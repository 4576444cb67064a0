"""Each denial and each thing that must go on working, in a forked child."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import faulthandler
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.system.confinement import Confinement, ConfinementReport
from pillarbox.lib.system.landlock import abi_version
from pillarbox.lib.system.limits import Limits
from pillarbox.lib.system.system_calls import number
from tests.system.forked import errno_of, in_child

DENIED = (errno.EPERM, errno.EACCES)
needs_tcp_rules = pytest.mark.skipif(abi_version() < 4, reason="this kernel's Landlock has no TCP rules")
needs_scopes = pytest.mark.skipif(abi_version() < 6, reason="this kernel's Landlock has no scopes")


def confined(confinement: Confinement, action: Any) -> Any:
    def body() -> Any:
        confinement.apply()
        return action()

    return in_child(body)


def denied(confinement: Confinement, action: Any) -> bool:
    return confined(confinement, lambda: errno_of(action)) in DENIED


def listening_port() -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


def raw_call(name: str, *arguments: int) -> int:
    """Make a system call by number; its errno, 0 for success."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number(name, os.uname().machine)), *(ctypes.c_long(a) for a in arguments))
    return ctypes.get_errno() if result < 0 else 0


class TestFiles:
    def test_a_file_outside_cannot_be_read(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("x")
        assert confined(Confinement(), lambda: errno_of(secret.read_text)) == errno.EACCES

    def test_a_named_directory_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "open").write_text("text")
        assert confined(Confinement(read=(tmp_path,)), (tmp_path / "open").read_text) == "text"

    def test_a_directory_to_read_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_text("x")
        for action in (
            lambda: (tmp_path / "new").write_text("x"),
            lambda: (tmp_path / "old").unlink(),
            lambda: os.truncate(tmp_path / "old", 0),
            lambda: (tmp_path / "directory").mkdir(),
        ):
            assert denied(Confinement(read=(tmp_path,)), action)
        assert (tmp_path / "old").read_text() == "x"

    def test_in_a_directory_to_write_everything_ordinary_works(self, tmp_path: Path) -> None:
        def work() -> str:
            (tmp_path / "sub").mkdir()
            (tmp_path / "a").write_text("content")
            (tmp_path / "a").rename(tmp_path / "sub" / "b")
            os.truncate(tmp_path / "sub" / "b", 3)
            return (tmp_path / "sub" / "b").read_text()

        assert confined(Confinement(write=(tmp_path,)), work) == "con"

    def test_one_single_file_can_be_named(self, tmp_path: Path) -> None:
        for name in ("mine", "other"):
            (tmp_path / name).write_text(name)

        def look() -> list[int]:
            return [errno_of((tmp_path / name).read_text) for name in ("mine", "other")]

        assert confined(Confinement(read=(tmp_path / "mine",)), look) == [0, errno.EACCES]

    def test_an_open_descriptor_goes_on_working(self, tmp_path: Path) -> None:
        (tmp_path / "message").write_text("mail")
        with (tmp_path / "message").open("rb") as stream:
            assert confined(Confinement(), lambda: os.pread(stream.fileno(), 10, 0).decode()) == "mail"

    def test_a_missing_path_is_reported_and_not_fatal(self, tmp_path: Path) -> None:
        absent = str(tmp_path / "absent")
        report = in_child(lambda: str(Confinement(read=(absent,)).apply()))
        assert f"not found: {absent}" in report


class TestNetwork:
    def test_no_internet_socket_without_network(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            assert confined(Confinement(), lambda f=family: errno_of(lambda: socket.socket(f))) == errno.EPERM

    @needs_tcp_rules
    def test_only_the_named_port_can_be_connected_to(self) -> None:
        server, port = listening_port()
        other, other_port = listening_port()
        with server, other:

            def connect() -> list[int]:
                return [
                    errno_of(lambda p=p: socket.create_connection(("127.0.0.1", p)).close()) for p in (port, other_port)
                ]

            assert confined(Confinement(connect_tcp=(port,)), connect) == [0, errno.EACCES]

    def test_any_port_can_be_connected_to_when_asked(self) -> None:
        server, port = listening_port()
        with server:
            connect = lambda: errno_of(lambda: socket.create_connection(("127.0.0.1", port)).close())  # noqa: E731
            assert confined(Confinement(connect_tcp=None), connect) == 0

    @needs_tcp_rules
    def test_binding_is_denied_unless_named(self) -> None:
        def bind() -> int:
            with socket.socket() as made:
                return errno_of(lambda: made.bind(("127.0.0.1", 0)))

        assert confined(Confinement(connect_tcp=None), bind) == errno.EACCES
        assert confined(Confinement(connect_tcp=None, bind_tcp=None), bind) == 0

    def test_fast_open_is_no_way_around_the_port_rule(self) -> None:
        server, port = listening_port()

        def send() -> int:
            with socket.socket() as made:
                return errno_of(lambda: made.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port)))

        with server:
            assert confined(Confinement(connect_tcp=(1,)), send) == errno.EPERM

    def test_multipath_tcp_is_no_way_around_the_port_rule(self) -> None:
        make = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)  # noqa: E731
        assert confined(Confinement(connect_tcp=(1,)), lambda: errno_of(make)) == errno.EPERM

    def test_udp_only_when_asked(self) -> None:
        def make() -> int:
            return errno_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())

        assert confined(Confinement(connect_tcp=None), make) == errno.EPERM
        assert confined(Confinement(udp=True), make) == 0

    @pytest.mark.parametrize("family", [socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK])
    def test_other_families_never(self, family: int) -> None:
        make = lambda: socket.socket(family, socket.SOCK_RAW)  # noqa: E731
        wide = Confinement(connect_tcp=None, bind_tcp=None, udp=True)
        assert confined(wide, lambda: errno_of(make)) == errno.EPERM

    def test_an_inherited_listener_accepts_without_any_network_right(self) -> None:
        server, port = listening_port()

        def serve() -> str:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 hello")
                return connection.recv(10).decode()

        with server, socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"QUIT")
            assert confined(Confinement(), serve) == "QUIT"

    def test_unix_sockets_can_be_taken_away(self) -> None:
        def make() -> list[int]:
            single = errno_of(lambda: socket.socket(socket.AF_UNIX).close())
            pair = errno_of(lambda: [end.close() for end in socket.socketpair()])
            return [single, pair]

        assert confined(Confinement(), make) == [0, 0]
        assert confined(Confinement(unix=False), make) == [errno.EPERM, 0]

    @needs_scopes
    def test_abstract_sockets_of_others_are_out_of_reach(self) -> None:
        name = f"\0pillarbox-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
            server.listen()

            def connect() -> int:
                with socket.socket(socket.AF_UNIX) as client:
                    return errno_of(lambda: client.connect(name))

            assert confined(Confinement(), connect) == errno.EPERM


class TestProcesses:
    def test_no_program_can_be_run(self) -> None:
        assert denied(Confinement(), lambda: os.execv("/bin/true", ["true"]))
        assert confined(Confinement(), lambda: raw_call("execveat", -100, 0, 0, 0, 0)) == errno.EPERM

    def test_programs_run_when_asked(self) -> None:
        run = lambda: subprocess.run(["/bin/true"], check=False).returncode  # noqa: E731
        assert confined(Confinement(exec=True, read=("/bin", "/usr/bin")), run) == 0

    def test_no_child_process_without_fork(self) -> None:
        def split() -> int:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            return os.waitpid(pid, 0)[1]

        assert confined(Confinement(fork=False), lambda: errno_of(split)) == errno.EPERM
        assert confined(Confinement(), split) == 0

    def test_no_signal_to_others(self) -> None:
        parent = os.getpid()

        def attempts() -> list[int]:
            return [
                errno_of(lambda: os.kill(parent, 0)),
                errno_of(lambda: os.kill(-1, 0)),
                errno_of(lambda: os.kill(0, 0)),
                raw_call("tgkill", parent, parent, 0),
                raw_call("tkill", parent, 0),
                raw_call("rt_sigqueueinfo", parent, 0, 0),
                raw_call("pidfd_send_signal", 0, 0, 0, 0),
            ]

        assert confined(Confinement(), attempts) == [errno.EPERM] * 7

    def test_a_signal_to_itself_works(self) -> None:
        def signal_itself() -> list[bool]:
            seen = []
            signal.signal(signal.SIGUSR1, lambda *_: seen.append(True))
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            return seen

        assert confined(Confinement(), signal_itself) == [True, True]

    def test_abort_ends_with_sigabrt(self) -> None:
        pid = os.fork()
        if pid == 0:
            faulthandler.disable()
            Confinement().apply()
            os.abort()
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGABRT

    @needs_scopes
    def test_children_can_be_signalled_but_nobody_else_when_asked(self) -> None:
        parent = os.getpid()

        def attempts() -> list[int]:
            child = os.fork()
            if child == 0:
                signal.pause()
            own = errno_of(lambda: os.kill(child, signal.SIGKILL))
            os.waitpid(child, 0)
            return [own, errno_of(lambda: os.kill(parent, 0))]

        assert confined(Confinement(signals="children"), attempts) == [0, errno.EPERM]

    def test_signals_to_anyone_when_asked(self) -> None:
        parent = os.getpid()
        assert confined(Confinement(signals=True), lambda: errno_of(lambda: os.kill(parent, 0))) == 0

    def test_no_other_process_can_be_looked_into(self) -> None:
        parent = os.getpid()
        assert confined(Confinement(), lambda: raw_call("ptrace", 16, parent, 0, 0)) == errno.EPERM
        assert confined(Confinement(), lambda: raw_call("process_vm_readv", parent, 0, 0, 0, 0, 0)) == errno.EPERM

    @pytest.mark.parametrize(
        "call",
        [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "chroot",
            "pivot_root",
            "bpf",
            "keyctl",
            "add_key",
            "request_key",
            "userfaultfd",
            "perf_event_open",
            "io_uring_setup",
            "init_module",
            "finit_module",
            "kexec_load",
            "open_by_handle_at",
            "personality",
            "reboot",
            "swapon",
        ],
    )
    def test_kernel_doors_are_shut(self, call: str) -> None:
        assert confined(Confinement(exec=True, connect_tcp=None), lambda: raw_call(call, 0, 0, 0, 0, 0)) == errno.EPERM

    def test_no_new_user_namespace(self) -> None:
        new_user = 0x10000000 | signal.SIGCHLD
        assert confined(Confinement(), lambda: raw_call("clone", new_user, 0, 0, 0, 0)) == errno.EPERM

    def test_limits_hold(self) -> None:
        import resource

        def look() -> list[int]:
            return [resource.getrlimit(resource.RLIMIT_CORE)[1], resource.getrlimit(resource.RLIMIT_NOFILE)[0]]

        # Whatever the tests before this one have left open must find room, too.
        enough = max(map(int, os.listdir("/proc/self/fd"))) + 64
        assert confined(Confinement(limits=Limits(open_files=enough)), look) == [0, enough]


class TestWhatMustGoOnWorking:
    @pytest.mark.parametrize("fork", [True, False])
    def test_threads(self, fork: bool) -> None:
        def run() -> list[int]:
            seen: list[int] = []
            threads = [threading.Thread(target=seen.append, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sorted(seen)

        assert confined(Confinement(fork=fork), run) == [0, 1, 2, 3]

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_event_loops_with_executor_and_sockets(self, loop: str) -> None:
        module = pytest.importorskip(loop)

        async def talk() -> str:
            ours, theirs = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=ours)
            _, other = await asyncio.open_connection(sock=theirs)
            await asyncio.get_running_loop().run_in_executor(None, os.urandom, 8)
            await asyncio.sleep(0.001)
            other.write(b"ping\n")
            line = await reader.readline()
            writer.close()
            other.close()
            return line.decode()

        def run() -> str:
            made = module.new_event_loop()
            try:
                return str(made.run_until_complete(talk()))
            finally:
                made.close()

        assert confined(Confinement(fork=False), run) == "ping\n"

    def test_random_numbers_and_sleep(self) -> None:
        assert confined(Confinement(), lambda: len(os.getrandom(16))) == 16

    def test_sqlite_in_a_place_to_write(self, tmp_path: Path) -> None:
        def store() -> int:
            with sqlite3.connect(tmp_path / "users.db") as database:
                database.execute("pragma journal_mode=wal")
                database.execute("create table t (x)")
                database.execute("insert into t values (7)")
                return int(database.execute("select x from t").fetchone()[0])

        assert confined(Confinement(write=(tmp_path,)), store) == 7

    def test_tls_contexts(self) -> None:
        assert confined(Confinement(), lambda: ssl.create_default_context().verify_mode.name) == "CERT_REQUIRED"

    def test_late_imports(self) -> None:
        def load() -> str:
            import wave  # nothing else imports this

            import pillarbox.lib.system.notify as notify

            return wave.__name__ + notify.__name__[-6:]

        assert confined(Confinement(), load) == "wavenotify"

    def test_local_time(self) -> None:
        import time

        assert confined(Confinement(), lambda: time.strftime("%z", time.localtime(0))) == time.strftime(
            "%z", time.localtime(0)
        )


class TestReport:
    def test_it_is_one_line_that_names_the_layers(self) -> None:
        text = in_child(lambda: str(Confinement().apply()))
        assert "\n" not in text
        assert text.startswith("confined: limits, ")
        assert "no_new_privs" in text

    def test_lacking_layers_are_named(self) -> None:
        report = ConfinementReport(("limits",), ("landlock",))
        assert str(report) == "confined: limits; this kernel lacks: landlock"

    def test_a_kernel_without_landlock_is_not_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pillarbox.lib.system import landlock

        monkeypatch.setattr(landlock, "abi_version", lambda: 0)
        assert "lacks: landlock" in in_child(lambda: str(Confinement().apply()))

    @pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
    def test_older_landlock_is_used_as_far_as_it_goes(self, abi: int, monkeypatch: pytest.MonkeyPatch) -> None:
        from pillarbox.lib.system import landlock

        if abi_version() < abi:
            pytest.skip("this kernel is older still")
        monkeypatch.setattr(landlock, "abi_version", lambda: abi)

        def look() -> list[Any]:
            report = Confinement().apply()
            return [str(report), errno_of(lambda: os.listdir("/"))]

        text, number_ = in_child(look)
        assert number_ == errno.EACCES
        assert ("lacks: landlock tcp" in text) == (abi < 4)
        assert ("landlock scopes" in text) == (abi < 6)

    def test_an_unknown_machine_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pillarbox.lib.system import seccomp

        monkeypatch.setattr(seccomp, "supported", lambda machine="": False)
        assert "seccomp numbers for" in in_child(lambda: str(Confinement().apply()))
