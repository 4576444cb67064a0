"""`pillarbox check`, `status`, `start`, `stop`, `reload`, `flush`, `route`: what they say, and their exit status.

The suite itself is started and stopped once, with few services and as it would be on a small machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands.pillarbox import main
from pillarbox.lib.ipc import Channel
from tests.commands.running import Said, run

FEW = """\
lookup: {command: lookup}
auth: {command: auth}
qmgr: {command: qmgr, listen: public}
lmtpd: {command: smtpd, listen: inet:lmtp, options: {smtpd_protocol: lmtp}}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("init") / "inst"
    assert run(main, "init", root, "--hostname", "mx.test", "--base-port", "30000").status == 0
    return root


@pytest.fixture
def root(template: Path) -> Iterator[Path]:
    """A fresh instance with a short path, on ports of its own."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        copy = Path(directory) / "i"
        shutil.copytree(template, copy, symlinks=True)
        for name in ("spool", "mail", "state"):
            for folder, names, files in os.walk(template / name):
                for each in (".", *names, *files):
                    there = os.stat(os.path.join(folder, each))
                    here = copy / os.path.relpath(os.path.join(folder, each), template)
                    os.chown(here, there.st_uid, there.st_gid)
                    os.chmod(here, there.st_mode & 0o7777)
        base = 60_001
        while base > 60_000:
            with socket.socket() as trial:
                trial.bind(("127.0.0.1", 0))
                base = trial.getsockname()[1] - 24
        text = (copy / "etc" / "main.yaml").read_text().replace(str(template), str(copy))
        (copy / "etc" / "main.yaml").write_text(text.replace('base_port: "30000"', f'base_port: "{base}"'))
        (copy / "etc" / "master.yaml").write_text(FEW + "virtual: {command: virtual, warm: 0}\n")
        yield copy


def pillarbox(root: Path, *arguments: str) -> Said:
    return run(main, "-c", root / "etc", *arguments)


def add(root: Path, text: str) -> None:
    with (root / "etc" / "main.yaml").open("a") as stream:
        stream.write(text)


TRANSPORTS = "local_transport: virtual\nrelay_transport: virtual\ndefault_transport: virtual\n"


class TestCheck:
    def test_nothing_wrong(self, root: Path) -> None:
        add(root, TRANSPORTS)
        assert pillarbox(root, "check") == Said(0, "pillarbox: no mistake found\n")

    def found(self, root: Path) -> list[str]:
        said = pillarbox(root, "check")
        assert said.status == os.EX_CONFIG and said.out == ""
        return [line.removeprefix("pillarbox: ") for line in said.err.splitlines()]

    def test_the_configuration(self, root: Path) -> None:
        add(root, "nosuch: 1\n")
        (line,) = self.found(root)
        assert line.startswith(f"{root}/etc/main.yaml, line ") and line.endswith(": nosuch: unknown parameter")

    def test_transports_that_no_service_serves(self, root: Path) -> None:
        add(root, TRANSPORTS.replace("default_transport: virtual", "default_transport: vitrual:x"))
        assert self.found(root) == ['default_transport: master.yaml has no service "vitrual"; did you mean "virtual"?']

    def test_networks_that_are_none(self, root: Path) -> None:
        add(root, TRANSPORTS + "smtpd_authorized_xclient_hosts: proxy.example\n")
        (line,) = self.found(root)
        assert "smtpd_authorized_xclient_hosts: a network such as" in line
        assert line.endswith('was expected, not "proxy.example"')

    def test_a_proxy_protocol_without_proxies(self, root: Path) -> None:
        add(root, TRANSPORTS + "smtpd_upstream_proxy_protocol: haproxy\n")
        lines = self.found(root)
        assert lines
        for line in lines:
            assert line.endswith(
                ": smtpd_upstream_proxy_protocol is set; name the proxies in smtpd_upstream_proxy_hosts"
            )

    def test_tokens_that_could_not_be_asked_about(self, root: Path) -> None:
        add(root, TRANSPORTS)
        add(root, 'oauth_introspection_url: "http://as.example/introspect"\n')
        (line,) = self.found(root)
        assert line.startswith("http://as.example/introspect is on another machine")
        add(root, f"oauth_allow_http: yes\noauth_credentials_file: {root}/missing\n")
        (line,) = self.found(root)
        assert line.startswith(f"oauth_credentials_file: cannot read {root}/missing")

    def test_greylisting_in_which_nobody_comes_back_in_time(self, root: Path) -> None:
        add(root, TRANSPORTS + "smtpd_greylist_delay: 1h\nsmtpd_greylist_window: 30m\n")
        lines = self.found(root)
        assert lines
        for line in lines:
            assert line.endswith(
                ": smtpd_greylist_window must be longer than smtpd_greylist_delay: else nobody comes back in time"
            )

    def test_a_schedule_for_a_transport_that_no_service_serves(self, root: Path) -> None:
        add(root, TRANSPORTS + "retry: {gmail.com: 5m, virtaul: 10m}\n")
        assert self.found(root) == ['retry: virtaul: master.yaml has no service "virtaul"; did you mean "virtual"?']

    def test_screening_without_a_memory(self, root: Path) -> None:
        add(root, TRANSPORTS + "smtpd_greylisting: yes\n")
        assert self.found(root) == [
            "smtpd_greylisting is set, but master.yaml has no service reputation, which remembers who has passed"
        ]
        with (root / "etc" / "master.yaml").open("a") as master:
            master.write("reputation: {command: reputation}\n")
        assert pillarbox(root, "check").status == 0

    def test_directories(self, root: Path) -> None:
        add(root, TRANSPORTS)
        (root / "spool" / "hold").rmdir()
        (root / "spool" / "corrupt").rmdir()
        (root / "spool" / "corrupt").touch()
        os.chmod(root / "spool" / "active", 0o777)
        assert self.found(root) == [
            f"{root}/spool/active: others may write into it (mode 777); chmod go-w it",
            f"{root}/spool/hold: No such file or directory; pillarbox init makes it",
            f"{root}/spool/corrupt: is not a directory",
        ]

    def test_a_wrong_owner(self, root: Path) -> None:
        assert os.getuid() == 0, "only root can give a directory away"
        add(root, TRANSPORTS)
        os.chown(root / "mail", 12345, 12345)
        (line,) = self.found(root)
        assert line.startswith(f"{root}/mail: belongs to uid 12345, not to vmail_owner (")

    def test_users(self, root: Path) -> None:
        assert os.getuid() == 0, "users matter only to root"
        add(root, TRANSPORTS)
        text = (root / "etc" / "main.yaml").read_text().splitlines()
        text = [line for line in text if not line.startswith(("net_owner:", "lookup_owner:"))]
        (root / "etc" / "main.yaml").write_text("\n".join([*text, "net_owner: no-such", "lookup_owner: root", ""]))
        found = self.found(root)
        assert found[0].startswith("net_owner: no such user: 'no-such'")
        assert found[1] == "lookup_owner: no program may run as root; name another user"

    def test_a_port_in_use(self, root: Path) -> None:
        add(root, TRANSPORTS)
        port = base(root) + 24
        with socket.create_server(("127.0.0.1", port)):
            assert self.found(root) == [f"lmtpd: cannot listen on 127.0.0.1 port {port}: Address already in use"]

    def test_a_port_that_cannot_be(self, root: Path) -> None:
        add(root, TRANSPORTS)
        (root / "etc" / "master.yaml").write_text(
            FEW.replace("inet:lmtp", "inet:60000") + "virtual: {command: virtual}\n"
        )
        assert self.found(root) == [f"lmtpd: there is no port {base(root) + 60000}; choose a smaller base_port"]

    def test_aliases_that_were_not_built(self, root: Path) -> None:
        add(root, TRANSPORTS)
        (root / "etc" / "aliases.cdb").unlink()
        assert self.found(root) == [f"{root}/etc/aliases.cdb: does not exist; run newaliases"]


def base(root: Path) -> int:
    (line,) = (line for line in (root / "etc" / "main.yaml").read_text().splitlines() if line.startswith("base_port:"))
    return int(line.partition(":")[2].strip().strip('"'))


class TestNotRunning:
    @pytest.mark.parametrize("verb", ["status", "stop", "reload"])
    def test_is_said(self, root: Path, verb: str) -> None:
        assert pillarbox(root, verb) == Said(1, "", "pillarbox: the mail system is not running\n")

    def test_a_pid_that_a_dead_master_has_left_is_not_believed(self, root: Path) -> None:
        (root / "run" / "master.pid").write_text(f"{os.getpid()}\n")
        assert pillarbox(root, "status").status == 1

    def test_flush_and_route_have_nobody_to_ask(self, root: Path) -> None:
        said = pillarbox(root, "flush")
        assert said.status == os.EX_UNAVAILABLE and said.err.startswith(
            "pillarbox: cannot flush the queue: qmgr: connect to"
        )
        said = pillarbox(root, "route", "a@b.test")
        assert said.status == os.EX_TEMPFAIL and said.err.startswith("pillarbox route: lookup service: connect to")

    @pytest.mark.parametrize("arguments", [(), ("nosuch",), ("start", "--no-such")])
    def test_a_wrong_command_line(self, root: Path, arguments: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit) as caught:
            pillarbox(root, *arguments)
        assert caught.value.code == 2

    def test_a_configuration_that_is_not_there(self, tmp_path: Path) -> None:
        said = pillarbox(tmp_path, "status")
        assert said.status == os.EX_CONFIG
        assert (
            said.err.splitlines()[0]
            == f"pillarbox: {tmp_path}/etc/main.yaml: cannot be read: No such file or directory"
        )


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as `start` needs."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pillarbox.commands.pillarbox", "-c", str(root / "etc"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestRunning:
    def test_the_whole_life(self, root: Path) -> None:
        started = command(root, "start")
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        pid = (root / "run" / "master.pid").read_text().strip()
        try:
            with socket.create_connection(("127.0.0.1", base(root) + 24), timeout=10) as client:
                assert client.recv(100).startswith(b"220 mx.test ")
            assert pillarbox(root, "status") == Said(0, f"pillarbox: the mail system is running: PID: {pid}\n")
            again = command(root, "start")
            assert (again.returncode, again.stderr) == (
                69,
                f"pillarbox: the mail system is already running: PID: {pid}\n",
            )
            assert pillarbox(root, "flush") == Said(0, "pillarbox: 0 deferred messages will be tried now\n")
            assert "transport  a@b.test -> smtp:b.test\n" in pillarbox(root, "route", "a@b.test").out
            assert "already" not in pillarbox(root, "check").err, "its own ports are no mistake"
            self.reload(root)
            self.reload_is_refused(root)
        finally:
            stopped = pillarbox(root, "stop")
        assert stopped == Said(0)
        assert pillarbox(root, "status").status == 1
        log = "".join((root / "log" / name).read_text() for name in ("mail.log.1", "mail.log.2", "mail.log"))
        assert "pillarbox/master[" in log and "daemon started -- version " in log and log.endswith(": stopped\n")
        assert not [line for line in log.splitlines() if "warning:" in line or "panic:" in line or "fatal:" in line]

    def reload_is_refused(self, root: Path) -> None:
        """Who asks is told what master would only write into its log; and master is left alone."""
        stored, key = root / "etc" / "tls" / "cert.pem", root / "etc" / "tls" / "key.pem"
        kept = stored.read_bytes()
        log = (root / "log" / "mail.log").read_text()
        stored.write_bytes(b"garbage")
        try:
            said = pillarbox(root, "reload")
        finally:
            stored.write_bytes(kept)
        assert said.status == os.EX_CONFIG
        why, outcome = said.err.splitlines()
        assert why.startswith(f"pillarbox: {stored} with {key} is no usable PEM certificate and key")
        assert outcome == "pillarbox: not reloaded, the old configuration stays"
        assert "reload" not in (root / "log" / "mail.log").read_text()[len(log) :]

    def reload(self, root: Path) -> None:
        """The log is still written by workers that were forked after it: their descriptor is the right one."""
        log = root / "log" / "mail.log"
        for n in (1, 2):
            log.rename(root / "log" / f"mail.log.{n}")
            assert pillarbox(root, "reload") == Said(0)
            until(lambda: log.exists() and "reload -- configuration" in log.read_text())
            until(lambda: "pillarbox/smtpd[" in log.read_text())
            with socket.create_connection(("127.0.0.1", base(root) + 24), timeout=10) as client:
                client.recv(100)
                client.sendall(b"LHLO x\r\nQUIT\r\n")
                while client.recv(1000):
                    pass
            until(lambda: "disconnect from" in log.read_text())

    def test_start_says_why_not(self, root: Path) -> None:
        port = base(root) + 24
        with socket.create_server(("127.0.0.1", port)):
            started = command(root, "start")
        assert started.returncode == 69
        assert started.stderr == (
            f"pillarbox: lmtpd: cannot listen on 127.0.0.1 port {port}: Address already in use; "
            "another program listens there\n"
        )
        assert pillarbox(root, "status").status == 1

    def test_a_service_that_cannot_start_is_named(self, root: Path) -> None:
        with (root / "etc" / "main.yaml").open("a") as file:
            file.write("smtp_tls_CAfile: /nonexistent/authorities\n")
        with (root / "etc" / "master.yaml").open("a") as file:
            file.write("smtp: {command: smtp_client}\n")
        started = command(root, "start")
        assert started.returncode == 69
        assert "smtp: " in started.stderr and "/nonexistent/authorities" in started.stderr

    def test_looking_whether_it_runs_does_not_keep_it_from_starting(self, root: Path) -> None:
        done = threading.Event()

        def look() -> None:
            descriptor = os.open(root / "run" / "master.pid", os.O_RDWR | os.O_CREAT)
            while not done.is_set():
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                time.sleep(0.001)
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                time.sleep(0.001)
            os.close(descriptor)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            time.sleep(0.05)
            started = command(root, "start")
        finally:
            done.set()
            thread.join()
        assert (started.returncode, started.stderr) == (0, "")
        assert pillarbox(root, "stop").status == 0


def until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_control_socket_takes_no_nonsense(root: Path) -> None:
    assert command(root, "start").returncode == 0
    try:
        for frame in ({"do": "dance"}, {"do": "arrived", "ids": [1]}, {"do": "flush", "id": 7}, {}):
            channel = Channel.connect(str(root / "spool" / "public" / "qmgr"), 10)
            channel.send(frame, [0])
            assert channel.socket.recv(10) == b""
            channel.close()
        assert pillarbox(root, "flush").status == 0
    finally:
        assert pillarbox(root, "stop").status == 0
