"""The parent of system users' sessions: it becomes the user in a child, and serves nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import resource
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.imapd.system.program import serve
from pillarbox.lib.clients.auth import Account
from pillarbox.lib.clients.auth_messages import encode_account
from pillarbox.lib.config import Config, Service
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed
from pillarbox.lib.login import serve_system_sessions
from pillarbox.lib.login.handover import SessionRequest
from pillarbox.lib.process import Program, Worker
from pillarbox.lib.process.loop import preload

MOVED_UID = 54322


def system_user() -> pwd.struct_passwd:
    """Whom to become: nobody where the tests run as root, else the caller."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def fake_auth(listener: socket.socket, accounts: dict[str, Account]) -> None:
    """An auth service that only redeems tokens; ends when the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        channel = Channel(connection)
        try:
            while True:
                request = channel.receive()
                account = accounts.pop(request.text("token"), None)
                channel.send({"ok": True, "tag": 0, **encode_account(account)})
        except ChannelClosed:
            channel.close()


class Parent:
    """The parent as a process, with tokens `good`, `hosted`, `root` and `other` waiting to be redeemed."""

    def __init__(self, folder: Path, lowest_descriptor: int = 0) -> None:
        user = system_user()
        home = folder / "home"
        home.mkdir(parents=True)
        os.chown(home, user.pw_uid, user.pw_gid)
        for path in (folder, *folder.parents):
            if path.stat().st_uid == os.getuid() and str(path).startswith("/tmp/"):
                path.chmod(0o755)
        # A socket's path has 107 characters at most; that of a test's own folder may have more.
        self._spool = Path(tempfile.mkdtemp(prefix="imap-"))
        self._spool.chmod(0o755)
        (self._spool / "private").mkdir()
        self.config = Config.for_tests(queue_directory=str(self._spool))
        mail = f"maildir:{home}/Maildir"
        self.accounts = {
            "good": Account(user.pw_name, user.pw_uid, user.pw_gid, str(home), mail, True),
            "again": Account(user.pw_name, user.pw_uid, user.pw_gid, str(home), mail, True),
            "moved": Account(user.pw_name, MOVED_UID, MOVED_UID, str(home), mail, True),
            "hosted": Account("ann@example.com", None, None, str(home), mail, False),
            "root": Account("root", 0, 0, str(home), mail, True),
            "other": Account("other", 4242, 4242, str(home), mail, True),
        }
        self._auth = socket.socket(socket.AF_UNIX)
        self._auth.bind(self.config.socket_path("auth"))
        self._auth.listen()
        self._thread = threading.Thread(target=fake_auth, args=(self._auth, self.accounts), daemon=True)
        self._thread.start()
        with socket.socket(socket.AF_UNIX) as first:
            listener = socket.socket(fileno=fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, lowest_descriptor))
        listener.bind(self.config.socket_path("imap-system"))
        listener.listen()
        listener.setblocking(False)
        self.status, theirs = socket.socketpair()
        preload()
        self.pid = os.fork()
        if self.pid == 0:
            self.status.close()
            self._run(listener, theirs)
        theirs.close()
        listener.close()  # so that a parent that has died refuses clients, instead of letting them wait
        self.status.settimeout(20)
        assert self.status.recv(1) == b"R", "the parent did not become ready"

    def _run(self, listener: socket.socket, status: socket.socket) -> None:
        code = 1
        try:
            program = Program(name="imap-system", run=lambda worker: None)
            service = Service("imap-system", "imapd.system", confine=False)
            worker = Worker(program, service, self.config, [listener], status)
            signal.signal(signal.SIGTERM, lambda *_: worker.stop())

            serve_system_sessions(worker, "imap", lambda account, sessions: serve(worker, account, sessions))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def start_session(self, token: str) -> tuple[Attributes, socket.socket]:
        """Bring a client with that token; gives the reply and the client's end."""
        ours, theirs = socket.socketpair()
        channel = Channel.connect(self.config.socket_path("imap-system"), 10)
        request = SessionRequest(token, "who", "PLAIN", "127.0.0.1", "127.0.0.1", False, extra={"tag": "a1"})
        channel.send(request.encode(), [theirs.fileno()])
        reply = channel.receive(20)
        channel.close()
        theirs.close()
        ours.settimeout(20)
        return reply, ours

    def stop(self) -> None:
        """End the parent."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            assert os.waitstatus_to_exitcode(status) == 0, "the parent ended by a fault of its own"

    def close(self) -> None:
        try:
            self.stop()
        finally:
            with contextlib.suppress(OSError):  # wakes the thread that waits in accept()
                self._auth.shutdown(socket.SHUT_RDWR)
            self._auth.close()
            self._thread.join(20)
            self.status.close()
            shutil.rmtree(self._spool)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    running = Parent(tmp_path / "instance")
    yield running
    running.close()


def test_session_runs_as_the_user(parent: Parent, tmp_path: Path) -> None:
    reply, client = parent.start_session("good")
    assert reply.boolean("ok"), reply
    assert client.recv(4096).startswith(b"a1 OK [CAPABILITY ")
    client.sendall(b"b APPEND INBOX {12+}\r\nSubject: x\r\n\r\n")
    assert client.recv(4096).startswith(b"b OK [APPENDUID ")
    messages = [path for path in (tmp_path / "instance/home/Maildir").glob("*/*") if path.parent.name in ("new", "cur")]
    assert [path.stat().st_uid for path in messages] == [system_user().pw_uid]
    client.close()


@pytest.mark.parametrize("token", ["hosted", "root", "unknown", ""])
def test_others_are_refused(parent: Parent, token: str) -> None:
    reply, client = parent.start_session(token)
    assert reply.boolean("ok") is False
    assert client.recv(10) == b"", "the refused client's descriptor must be closed"


def test_an_ordinary_user_cannot_serve_another(parent: Parent) -> None:
    if os.getuid() == 0:
        pytest.skip("root can become anyone: this is about an unprivileged instance")
    reply, _ = parent.start_session("other")
    assert "cannot become" in reply.text("why")


def test_a_token_is_good_for_one_session(parent: Parent) -> None:
    assert parent.start_session("good")[0].boolean("ok")
    assert not parent.start_session("good")[0].boolean("ok")


def test_nonsense_does_not_end_the_parent(parent: Parent) -> None:
    for data in (b"", b"\0\0\0\5hello", b"\xff" * 100):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(parent.config.socket_path("imap-system"))
            sock.sendall(data)
    assert parent.start_session("good")[0].boolean("ok")


def test_the_numbers_of_its_sockets_do_not_matter(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        running = Parent(tmp_path / "instance", lowest_descriptor=1500)
        try:
            assert running.start_session("good")[0].boolean("ok")
        finally:
            running.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_stop_ends_the_children_too(parent: Parent) -> None:
    _, client = parent.start_session("good")
    client.recv(4096)
    parent.stop()
    assert client.recv(4096) == b"* BYE Server shutting down.\r\n"
    assert client.recv(4096) == b""


def children(parent: Parent) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]


def test_sessions_of_one_user_are_in_one_process(parent: Parent) -> None:
    _, first = parent.start_session("good")
    assert first.recv(4096).startswith(b"a1 OK")
    _, second = parent.start_session("again")
    assert second.recv(4096).startswith(b"a1 OK")
    assert len(children(parent)) == 1
    first.sendall(b"z LOGOUT\r\n")
    while first.recv(4096):
        pass
    second.sendall(b"b NOOP\r\n")
    assert second.recv(4096).startswith(b"b OK"), "the end of one session is not that of another"


def test_who_has_got_another_uid_is_not_served_by_the_old_one(parent: Parent) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become several users")
    _, first = parent.start_session("good")
    first.recv(4096)
    reply, second = parent.start_session("moved")
    assert reply.boolean("ok")
    second.recv(4096)
    uids = {
        int(line.split()[1])
        for pid in children(parent)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    }
    assert uids == {system_user().pw_uid, MOVED_UID}


def test_a_process_that_is_killed_is_replaced(parent: Parent) -> None:
    _, first = parent.start_session("good")
    first.recv(4096)
    os.kill(children(parent)[0], signal.SIGKILL)
    assert first.recv(4096) == b""
    while children(parent):
        time.sleep(0.01)  # it dies piece by piece: a client that comes meanwhile is told to try again
    reply, second = parent.start_session("again")
    assert reply.boolean("ok")
    assert second.recv(4096).startswith(b"a1 OK")
