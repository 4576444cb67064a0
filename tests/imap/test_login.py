"""Logging in over real sockets: login part, auth, hand-over, session; spoken to by imaplib and by hand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import imaplib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients.auth import AsyncAuthClient
from pillarbox.lib.ipc import Channel, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.login import receive_session
from pillarbox.lib.login.handover import SessionRequest
from pillarbox.lib.tls.certificate import write_certificate
from tests.auth.service import configuration
from tests.imap.dialogue import MESSAGE
from tests.imap.server import ACCOUNT, PASSWORD, Server

PLAIN = base64.b64encode(f"\0{ACCOUNT}\0{PASSWORD}".encode())
WRONG = base64.b64encode(f"\0{ACCOUNT}\0wrong".encode())
LOGIN = f"LOGIN {ACCOUNT} {PASSWORD}".encode()


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


def greeting(server: Server) -> bytes:
    with server.connect() as sock:
        return sock.recv(4096)


# --- what is offered
def test_greeting_names_the_capabilities(server: Server) -> None:
    line = greeting(server)
    assert line.startswith(b"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ID ENABLE IDLE ")
    assert b"AUTH=PLAIN" in line and b"AUTH=SCRAM-SHA-256" in line
    assert b"STARTTLS" not in line and b"LOGINDISABLED" not in line


def test_no_password_without_tls_from_other_machines(tmp_path: Path, tls: dict[str, str]) -> None:
    with Server(tmp_path, remote=True, **tls) as server:
        line = greeting(server)
        assert b" STARTTLS " in line and b" LOGINDISABLED]" in line and b"AUTH=PLAIN" not in line
        lines = server.say(b"a " + LOGIN + b"\r\nb AUTHENTICATE PLAIN " + PLAIN + b"\r\nc LOGOUT\r\n")
        assert lines[0].startswith(b"a NO [PRIVACYREQUIRED]")
        assert lines[1].startswith(b"b NO [PRIVACYREQUIRED]")


def test_nobody_logs_in_before_tls_where_it_is_required(tmp_path: Path, tls: dict[str, str]) -> None:
    with Server(tmp_path, login_tls_security_level="encrypt", **tls) as server:
        assert b"AUTH=" not in greeting(server)
        lines = server.say(b"a AUTHENTICATE PLAIN " + PLAIN + b"\r\nb LOGOUT\r\n")
        assert lines[0].startswith(b"a NO [PRIVACYREQUIRED]")


# --- imaplib
def test_imaplib_logs_in_and_works(server: Server) -> None:
    server.deliver(MESSAGE)
    with imaplib.IMAP4("127.0.0.1", server.port, timeout=20) as client:
        client.login(ACCOUNT, PASSWORD)
        assert client.select("INBOX") == ("OK", [b"1"])
        status, data = client.fetch("1", "(RFC822 UID)")
        assert status == "OK" and isinstance(data[0], tuple) and data[0][1] == MESSAGE
        assert client.append("INBOX", r"(\Seen)", imaplib.Time2Internaldate(0), MESSAGE)[0] == "OK"
        assert client.search(None, "SEEN") == ("OK", [b"1 2"])
        assert client.uid("STORE", "1", "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.create("Work")[0] == "OK"
        assert client.copy("1", "Work")[0] == "OK"
        assert client.status("Work", "(MESSAGES)") == ("OK", [b"Work (MESSAGES 1)"])
        assert len(client.list()[1]) == 2
        assert client.close()[0] == "OK"


@pytest.mark.parametrize("wrapper", [False, True], ids=["STARTTLS", "wrapper"])
def test_imaplib_over_tls_reads_and_appends_large_messages(
    tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext, wrapper: bool
) -> None:
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 150_000
    with Server(tmp_path, remote=True, login_tls_wrappermode="yes" if wrapper else "no", **tls) as server:
        client: imaplib.IMAP4
        if wrapper:
            client = imaplib.IMAP4_SSL("localhost", server.port, ssl_context=trusting, timeout=20)
        else:
            client = imaplib.IMAP4("localhost", server.port, timeout=20)
            client.starttls(trusting)
        assert "STARTTLS" not in client.capabilities
        assert "AUTH=PLAIN" in client.capabilities
        client.authenticate("PLAIN", lambda _: f"\0{ACCOUNT}\0{PASSWORD}".encode())
        assert client.append("INBOX", "", "", large)[0] == "OK"
        client.select()
        status, data = client.fetch("1", "(BODY.PEEK[])")
        assert status == "OK" and isinstance(data[0], tuple) and data[0][1] == large
        client.logout()


# --- the hand-over
def test_commands_pipelined_behind_login_reach_the_session(server: Server) -> None:
    lines = server.say(b"a " + LOGIN + b"\r\nb NAMESPACE\r\nc LOGOUT\r\n")
    assert re.match(rb"a OK \[CAPABILITY [^\]]*UIDPLUS[^\]]*\] Logged in", lines[0])
    assert lines[1:3] == [b'* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL', b"b OK Namespace completed."]


@pytest.mark.parametrize(
    "command",
    [
        b"LOGIN {15+}\r\n" + ACCOUNT.encode() + b" {6+}\r\n" + PASSWORD.encode(),
        f'LOGIN "{ACCOUNT}" "{PASSWORD}"'.encode(),
        b"authenticate plain " + PLAIN,
        b"AUTHENTICATE PLAIN\r\n" + PLAIN,
    ],
)
def test_forms_of_login(server: Server, command: bytes) -> None:
    lines = server.say(b"a " + command + b"\r\nz LOGOUT\r\n")
    assert b"a OK" in b"\n".join(lines)


def test_session_service_that_is_away_is_a_temporary_failure(tmp_path: Path) -> None:
    with Server(tmp_path, sessions=False) as server, log.capture():
        lines = server.say(b"a " + LOGIN + b"\r\n")
        assert lines[0].startswith(b"a NO [UNAVAILABLE]")


def test_session_service_takes_no_client_without_a_good_token(server: Server) -> None:
    for token in ("", "0" * 32, "nonsense"):
        with log.capture():
            channel = Channel.connect(server.config.socket_path("imap"), 5)
            request = SessionRequest(token, ACCOUNT, "PLAIN", "127.0.0.1", "127.0.0.1", True)
            reply = channel.call(request.encode())
            channel.close()
        assert reply.boolean("ok") is False


def test_session_service_survives_nonsense(server: Server) -> None:
    for frame in ({"do": "session"}, {"do": "x"}, {"do": "session", "token": 1}):
        with log.capture():
            channel = Channel.connect(server.config.socket_path("imap"), 5)
            channel.send(frame)
            channel.close()
    assert b"a OK" in server.say(b"a " + LOGIN + b"\r\nb LOGOUT\r\n")[0]


@pytest.mark.parametrize(
    "frame",
    [{"do": "session"}, {"do": "x"}, {"do": "session", "token": 1}, SessionRequest("", "", "", "", "", True).encode()],
)
def test_a_connection_that_was_not_taken_over_is_watched_no_more(tmp_path: Path, frame: dict[str, object]) -> None:
    """The next connection has its number: a loop that still watched that one would never see what the new one says."""

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        reader, writer = os.pipe()
        with theirs, open(reader, "rb") as client:
            with log.capture(), open(writer, "wb") as passed:
                auth = AsyncAuthClient(configuration(tmp_path))
                taking = asyncio.ensure_future(receive_session(ours, auth, "imap"))
                for _ in range(5):  # until it waits for what we say
                    await asyncio.sleep(0)
                Channel(theirs).send(frame, [passed.fileno()])
                with contextlib.suppress(ProtocolError):
                    assert await taking is None
            assert client.read() == b"", "the client's descriptor was left open"
            assert not asyncio.get_running_loop().remove_reader(number), "its number is still watched"
            assert ours.fileno() == -1

    asyncio.run(scenario())


# --- refusals
def test_wrong_password_is_refused_and_logged_for_fail2ban(server: Server) -> None:
    with log.capture() as lines:
        answer = server.say(
            b"a LOGIN " + ACCOUNT.encode() + b" wrong\r\nb AUTHENTICATE PLAIN " + WRONG + b"\r\nc LOGOUT\r\n"
        )
    assert answer[0].startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert answer[1].startswith(b"b NO [AUTHENTICATIONFAILED]")
    # fail2ban's filter "dovecot", the part behind the host and program name.
    pattern = (
        r"imap-login: (?:Aborted login|Disconnected)(?::(?: [^ \(]+)+)? \(auth failed, 2 attempts in \d+ secs\):"
        r" user=<[^>]*>,(?: method=\S+,)? rip=127\.0\.0\.1(?:[^>]*)\s*$"
    )
    assert any(re.match(pattern, line) for line in lines), lines


def test_login_is_logged(server: Server) -> None:
    with log.capture() as lines:
        server.say(b"a " + LOGIN + b"\r\nb LOGOUT\r\n")
    assert f"imap-login: Login: user=<{ACCOUNT}>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured" in lines
    assert any(line.startswith(f"imap({ACCOUNT}): Logged out in=") for line in lines)


def test_too_many_failures_end_the_connection(tmp_path: Path) -> None:
    with Server(tmp_path, login_max_failures="2") as server, log.capture():
        lines = server.say(b"a LOGIN x y\r\nb LOGIN x y\r\nc LOGIN x y\r\n")
    assert lines[-1].startswith(b"* BYE")


def test_too_many_bad_commands_end_the_connection(server: Server) -> None:
    with log.capture() as lines:
        answer = server.say(b"a SELECT INBOX\r\nGET / HTTP/1.1\r\n\r\n\0\xff\r\nb NOOP\r\n")
    assert answer[-1] == b"* BYE Too many invalid IMAP commands."
    assert any("Too many invalid commands" in line for line in lines)


@pytest.mark.parametrize(
    "data",
    [
        b"a LOGIN {999999999}\r\n",
        b"a LOGIN x {4097+}\r\n" + b"x" * 4097 + b"\r\n",
        b"x" * 20_000 + b"\r\n",
        b"a AUTHENTICATE PLAIN !!!\r\n",
        b"a AUTHENTICATE PLAIN *\r\n",
        b"a AUTHENTICATE PLAIN\r\n*\r\n",
        b"a AUTHENTICATE PLAIN\r\n" + b"A" * 13_000 + b"\r\n",
        b"a LOGIN x\r\n",
        b"a STARTTLS\r\n",
    ],
)
def test_wrong_input_is_bad_and_the_connection_lives(server: Server, data: bytes) -> None:
    lines = server.say(data + b"z LOGOUT\r\n")
    assert any(b" BAD " in line for line in lines)
    assert lines[-1].startswith(b"z OK")


def test_commands_injected_before_tls_are_thrown_away(
    tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext
) -> None:
    with Server(tmp_path, **tls) as server, server.connect() as sock:
        sock.recv(4096)
        sock.sendall(b"a STARTTLS\r\nb " + LOGIN + b"\r\n")
        assert sock.recv(4096) == b"a OK Begin TLS negotiation now.\r\n"
        with trusting.wrap_socket(sock, server_hostname="localhost") as secure:
            secure.sendall(b"c NOOP\r\n")
            assert secure.recv(4096) == b"c OK NOOP completed.\r\n"


def test_nonsense_instead_of_a_handshake_is_logged(tmp_path: Path, tls: dict[str, str]) -> None:
    with log.capture() as lines, Server(tmp_path, login_tls_wrappermode="yes", **tls) as server:
        sock = server.connect()
        sock.sendall(b"a NOOP\r\n" * 10)
        while sock.recv(4096):
            pass
        sock.close()
    assert any("TLS handshake failed" in line for line in lines)


def test_silent_client_is_dismissed(tmp_path: Path) -> None:
    with log.capture() as lines, Server(tmp_path, login_timeout="0.1s") as server:
        assert server.say(b"") == [b"* BYE Disconnected for inactivity."]
    assert any("Disconnected: Inactivity (no auth attempts" in line for line in lines)


def test_stop_is_told_before_and_after_login(server: Server) -> None:
    with log.capture(), server.connect() as before, server.connect() as after:
        before.recv(4096)
        after.recv(4096)
        after.sendall(b"a " + LOGIN + b"\r\n")
        assert after.recv(4096).startswith(b"a OK")
        server.call(server.front.stop)
        server.call(server.sessions.stop)
        assert before.recv(4096) == b"* BYE Server shutting down.\r\n"
        assert after.recv(4096) == b"* BYE Server shutting down.\r\n"


def test_client_that_goes_away_under_tls_ends_its_session(
    tmp_path: Path, tls: dict[str, str], trusting: ssl.SSLContext
) -> None:
    with log.capture() as lines, Server(tmp_path, login_tls_wrappermode="yes", **tls) as server:
        with trusting.wrap_socket(server.connect(), server_hostname="localhost") as secure:
            secure.recv(4096)
            secure.sendall(b"a " + LOGIN + b"\r\n")
            secure.recv(4096)
            secure.sendall(b"b IDLE\r\n")
            assert secure.recv(4096).startswith(b"+")
            secure.shutdown(socket.SHUT_RDWR)
        for _ in range(200):
            if any(f"imap({ACCOUNT}): Connection closed" in line for line in lines):
                break
            server.say(b"a LOGOUT\r\n")
    assert any(f"imap({ACCOUNT}): Connection closed" in line for line in lines)
