"""The whole of POP3 over real sockets: login front, auth, hand-over, session, spoken to by poplib and by hand."""

from __future__ import annotations

import asyncio
import base64
import datetime
import poplib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients.auth import AuthClient, Success
from pillarbox.lib.ipc import Channel
from pillarbox.lib.log import log
from pillarbox.lib.login import LoginFront
from pillarbox.lib.login.handover import SessionRequest
from pillarbox.lib.process.sessions import ThreadedSessions
from pillarbox.lib.store import open_store
from pillarbox.lib.tls import server_context
from pillarbox.lib.tls.certificate import write_certificate
from pillarbox.pop3d.login.dialogue import Pop3Login
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.session.service import SESSIONS
from tests.auth.service import Running, with_service

MESSAGE = b"Subject: hello\r\n\r\n.body\r\n"
PLAIN = base64.b64encode(b"\0ann@example.com\0secret").decode()


class Server:
    """POP3 on a port of 127.0.0.1, in a thread of its own."""

    def __init__(self, folder: Path, *, sessions: bool = True, remote: bool = False, **values: str) -> None:
        self.folder = folder
        self._values = values
        self._with_sessions = sessions
        self._remote = remote
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.lines: list[str] = []

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server does not stop"
        self.service.close()

    def call(self, function: Callable[[], object]) -> None:
        """Run on the server's loop."""
        self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        with_service(self.folder, self._serve, **self._values)

    async def _serve(self, running: Running) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        config = running.config
        self.front = LoginFront(config, Pop3Login(config), server_context(config))
        self.service = ThreadedSessions(config, 8, SESSIONS)
        tcp = socket.create_server(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(config.socket_path("pop3"))
        handle = self._pretend_remote if self._remote else self.front.handle
        tasks = [asyncio.create_task(self._accept(tcp, handle))]
        if self._with_sessions:
            unix.listen()
            tasks.append(asyncio.create_task(self._accept(unix, self.service.handle)))
        self._ready.set()
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tcp.close()
        unix.close()

    async def _pretend_remote(self, sock: socket.socket) -> None:
        """A connection whose client seems to be on another machine."""
        original = Pop3Login.talk

        class Remote(Pop3Login):
            async def talk(self, login: object) -> None:
                login.connection.client_address = "192.0.2.7"  # type: ignore[attr-defined]
                await original(self, login)  # type: ignore[arg-type]

        self.front.protocol = Remote(self.front.config)
        await self.front.handle(sock)

    async def _accept(self, listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
        listener.setblocking(False)
        tasks = set()

        async def one(connection: socket.socket) -> None:
            try:
                await handle(connection)
            finally:
                connection.close()

        while True:
            connection, _ = await self._loop.sock_accept(listener)
            task = asyncio.create_task(one(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def pop(self) -> poplib.POP3:
        return poplib.POP3("127.0.0.1", self.port, timeout=20)

    def deliver(self, *messages: bytes) -> None:
        store = open_store(f"maildir:{self.folder}/mail/example.com/ann")
        for message in messages:
            store.append("INBOX", [message])
        store.close()

    def say(self, data: bytes) -> bytes:
        """Send all of it at once and give everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
            sock.sendall(data)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
            return answer.partition(b"\r\n")[2]


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(certificate, key, "localhost", now=datetime.datetime.now(datetime.UTC))
    return {"smtpd_tls_cert_file": str(certificate), "smtpd_tls_key_file": str(key)}


@pytest.fixture
def trusting(tls: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=tls["smtpd_tls_cert_file"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


def test_poplib_logs_in_and_reads(server: Server) -> None:
    server.deliver(MESSAGE)
    pop = server.pop()
    assert b"<" not in pop.getwelcome(), "that would offer APOP"
    pop.user("ann@example.com")
    pop.pass_("secret")
    assert pop.stat() == (1, len(MESSAGE))
    assert pop.retr(1)[1] == [b"Subject: hello", b"", b".body"]
    pop.dele(1)
    assert pop.quit().startswith(b"+OK")
    pop = server.pop()
    pop.user("ann@example.com")
    pop.pass_("secret")
    assert pop.stat() == (0, 0)
    pop.quit()


def test_poplib_over_stls(tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext) -> None:
    with Server(tmp_path, remote=True, **tls) as server:
        server.deliver(MESSAGE + b"x" * 70 + b"\r\n" * 100_000)
        pop = poplib.POP3("localhost", server.port, timeout=20)
        assert "STLS" in pop.capa()
        assert "USER" not in pop.capa()
        with pytest.raises(poplib.error_proto, match="STLS first"):
            pop.user("ann@example.com")
        pop.stls(context=trusting)
        assert "STLS" not in pop.capa()
        assert "PLAIN" in pop.capa()["SASL"]
        pop.user("ann@example.com")
        pop.pass_("secret")
        assert len(pop.retr(1)[1]) == 100_003
        pop.quit()


def test_poplib_over_implicit_tls(tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext) -> None:
    with Server(tmp_path, login_tls_wrappermode="yes", **tls) as server:
        server.deliver(MESSAGE)
        pop = poplib.POP3_SSL("localhost", server.port, timeout=20, context=trusting)
        assert "STLS" not in pop.capa()
        pop.user("ann@example.com")
        pop.pass_("secret")
        assert pop.stat() == (1, len(MESSAGE))
        pop.quit()


def test_commands_injected_before_tls_are_thrown_away(
    tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext
) -> None:
    with Server(tmp_path, **tls) as server, socket.create_connection(("localhost", server.port), timeout=20) as sock:
        sock.recv(1000)
        sock.sendall(b"STLS\r\nUSER evil@example.com\r\n")
        assert sock.recv(1000) == replies.BEGIN_TLS
        with trusting.wrap_socket(sock, server_hostname="localhost") as secured:
            secured.sendall(b"PASS x\r\n")
            assert secured.recv(1000) == replies.NO_USER


def test_everything_pipelined_is_answered_in_order(server: Server) -> None:
    server.deliver(MESSAGE)
    answer = server.say(b"CAPA\r\nAUTH PLAIN " + PLAIN.encode() + b"\r\nSTAT\r\nUIDL\r\nTOP 1 0\r\nQUIT\r\n")
    capabilities, _, rest = answer.partition(b"\r\n.\r\n")
    assert b"\r\nSASL SCRAM-SHA-256 PLAIN LOGIN" in capabilities
    assert rest.startswith(replies.LOGGED_IN + b"+OK 1 %d\r\n" % len(MESSAGE) + replies.IDENTIFIERS_FOLLOW)
    assert rest.endswith(b".\r\n" + replies.TOP_FOLLOWS + b"Subject: hello\r\n\r\n.\r\n" + replies.UPDATED)


def test_sasl_with_challenges(server: Server) -> None:
    answer = server.say(
        b"AUTH LOGIN\r\n"
        + base64.b64encode(b"ann@example.com")
        + b"\r\n"
        + base64.b64encode(b"secret")
        + b"\r\nQUIT\r\n"
    )
    assert answer == b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n" + replies.LOGGED_IN + replies.UPDATED


def test_wrong_passwords_are_answered_and_end_after_the_limit(tmp_path: Path) -> None:
    with log.capture() as lines, Server(tmp_path, login_max_failures="2") as server:
        answer = server.say(b"USER ann@example.com\r\nPASS a\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n")
    assert answer == replies.USER_OK + replies.AUTHENTICATION_FAILED * 2
    assert any("auth failed, 2 attempts" in line and "rip=127.0.0.1" in line for line in lines)


def test_a_login_after_a_failure_succeeds(server: Server) -> None:
    answer = server.say(b"AUTH PLAIN AGEAYg==\r\nAUTH PLAIN " + PLAIN.encode() + b"\r\nQUIT\r\n")
    assert answer == replies.AUTHENTICATION_FAILED + replies.LOGGED_IN + replies.UPDATED


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (b"AUTH CRAM-MD5", replies.NO_MECHANISM),
        (b"AUTH PLAIN eA==", replies.BAD_RESPONSE),
        (b"AUTH PLAIN\r\n*", b"+ \r\n" + replies.AUTHENTICATION_ABORTED),
        (b"AUTH PLAIN\r\n!", b"+ \r\n" + replies.BAD_RESPONSE),
        (b"AUTH PLAIN\r\n" + b"A" * 20_000, b"+ \r\n" + replies.LINE_TOO_LONG),
        (b"STLS", replies.TLS_UNAVAILABLE),
        (b"APOP ann 0123", replies.APOP_REFUSED),
        (b"UTF8", replies.UTF8_OK),
        (b"X" * 1_000_000, replies.LINE_TOO_LONG),
        (b"\x16\x03\x01\x02\x00\x01\x00", replies.UNKNOWN_COMMAND),
    ],
)
def test_wrong_input_is_answered_and_the_client_may_go_on(server: Server, lines: bytes, reply: bytes) -> None:
    assert server.say(lines + b"\r\nQUIT\r\n") == reply + replies.QUIT_UNAUTHENTICATED


def test_a_client_of_another_protocol_is_dismissed(server: Server) -> None:
    answer = server.say(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nCookie: y\r\n\r\n")
    assert answer == replies.UNKNOWN_COMMAND * 2 + replies.TOO_MANY_ERRORS


def test_passwords_from_afar_wait_for_tls(tmp_path: Path) -> None:
    with Server(tmp_path, remote=True) as server:
        answer = server.say(b"AUTH PLAIN " + PLAIN.encode() + b"\r\nUSER ann@example.com\r\nQUIT\r\n")
    assert answer == replies.CLEAR_TEXT_REFUSED * 2 + replies.QUIT_UNAUTHENTICATED


def test_a_second_session_is_told_so(server: Server) -> None:
    first = server.pop()
    first.user("ann@example.com")
    first.pass_("secret")
    second = server.pop()
    second.user("ann@example.com")
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        second.pass_("secret")
    second.close()
    first.quit()


def test_a_session_part_that_is_away_is_a_temporary_error(tmp_path: Path) -> None:
    with log.capture(), Server(tmp_path, sessions=False) as server:
        answer = server.say(b"AUTH PLAIN " + PLAIN.encode() + b"\r\n")
    assert answer == replies.SESSION_UNAVAILABLE


def test_a_client_that_does_not_log_in_is_dismissed(tmp_path: Path) -> None:
    with Server(tmp_path, login_timeout="0.05s") as server:
        assert server.say(b"CAPA\r\n").endswith(b".\r\n" + replies.IDLE_TOO_LONG)


def test_a_stopping_service_says_so_to_those_who_wait(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock, sock.makefile("rb") as lines:
        lines.readline()
        server.call(server.front.stop)
        assert lines.read() == replies.STOPPING


def test_a_stopping_service_ends_sessions_between_commands(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.lib.process.sessions.STOP_GRACE", 0.0)
    server.deliver(MESSAGE)
    pop = server.pop()
    pop.user("ann@example.com")
    pop.pass_("secret")
    pop.dele(1)
    server.call(server.service.stop)
    assert pop.file.read() == replies.STOPPING
    pop.close()
    store = open_store(f"maildir:{server.folder}/mail/example.com/ann")
    assert store.status("INBOX").messages == 1, "without QUIT nothing is deleted"


def test_tokens_of_other_services_open_no_session(server: Server) -> None:
    config = server.front.config
    auth = AuthClient(config)
    step = auth.login("imap", "ann@example.com", "secret", client_address="", encrypted=True)
    assert isinstance(step, Success)
    for token in (step.token, "", "0" * 32):
        channel = Channel.connect(config.socket_path("pop3"), 20)
        with log.capture() as lines:
            channel.send(SessionRequest(token, "ann@example.com", "PLAIN", "", "", True).encode())
            assert not channel.receive().boolean("ok")
        assert lines
        channel.close()
    auth.close()
