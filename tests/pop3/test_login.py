"""The login part against a real auth service, over a stream in memory."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.auth import AsyncAuthClient, Challenge
from pillarbox.lib.log import log
from pillarbox.pop3d.login.client import LoggedIn, serve_client
from pillarbox.pop3d.protocol import replies
from tests.auth.service import Running, with_service
from tests.feeding import splits

HELLO = replies.greeting("Pillarbox", "mail.example.com")
PLAIN = base64.b64encode(b"\0ann@example.com\0secret")


class Script:
    """A client that sends pieces, each as soon as it is read; in clear text it ends where TLS must begin."""

    def __init__(self, *pieces: bytes, address: str = "192.0.2.7", tls: bool = True, available: bool = True) -> None:
        self._pieces = list(pieces)
        self.client_address = address
        self.local_address = "192.0.2.1"
        self.tls_active = tls
        self.tls_available = available
        self.sent = b""

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def start_tls(self) -> None:
        self.tls_active = True


def serve(folder: Path, script: Script, timeout: float = 20.0, **values: str) -> LoggedIn | None:
    async def test(running: Running) -> LoggedIn | None:
        return await serve_client(script, running.client, HELLO, timeout)

    return with_service(folder, test, **values)


def test_a_login_by_user_and_pass_gives_a_token(tmp_path: Path) -> None:
    script = Script(b"USER ann@example.com\r\nPASS secret\r\nSTAT\r\n")
    outcome = serve(tmp_path, script)
    assert outcome is not None
    assert (outcome.username, outcome.received, outcome.utf8) == ("ann@example.com", b"STAT\r\n", False)
    assert len(outcome.token) == 32
    assert outcome.token not in repr(outcome)
    assert script.sent == HELLO + replies.USER_OK, "the session part says whether the mailbox could be opened"


def test_a_login_by_sasl_arrives_in_any_pieces(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        for pieces in splits(b"UTF8\r\nAUTH PLAIN\r\n" + PLAIN + b"\r\n"):
            script = Script(*pieces)
            outcome = await serve_client(script, running.client, HELLO, 20.0)
            assert outcome is not None, pieces
            assert outcome.utf8
            assert script.sent == HELLO + replies.UTF8_OK + b"+ \r\n"

    with_service(tmp_path, test)


def test_a_wrong_password_is_answered_and_logged_for_fail2ban(tmp_path: Path) -> None:
    script = Script(b"USER ann@example.com\r\nPASS wrong\r\nQUIT\r\n")
    with log.capture() as lines:
        assert serve(tmp_path, script) is None
    assert script.sent == HELLO + replies.USER_OK + replies.AUTHENTICATION_FAILED + replies.QUIT_UNAUTHENTICATED
    assert "unknown[192.0.2.7]: SASL PLAIN authentication failed: authentication failed, " in lines[0]
    assert lines[0].endswith("sasl_username=ann@example.com")


def test_a_login_after_a_failure_succeeds(tmp_path: Path) -> None:
    script = Script(b"AUTH PLAIN AGEAYg==\r\nAUTH PLAIN " + PLAIN + b"\r\n")
    with log.capture():
        assert serve(tmp_path, script) is not None


def test_passwords_wait_for_stls(tmp_path: Path) -> None:
    script = Script(
        b"USER ann@example.com\r\nSTLS\r\nUSER injected\r\n", b"USER ann@example.com\r\nPASS secret\r\n", tls=False
    )
    assert serve(tmp_path, script) is not None
    assert script.sent == HELLO + replies.CLEAR_TEXT_REFUSED + replies.BEGIN_TLS + replies.USER_OK


def test_passwords_from_this_machine_need_no_tls(tmp_path: Path) -> None:
    script = Script(b"USER ann@example.com\r\nPASS secret\r\n", address="127.0.0.1", tls=False, available=False)
    assert serve(tmp_path, script) is not None


@pytest.mark.parametrize(
    ("line", "reply"),
    [(b"AUTH CRAM-MD5", replies.NO_MECHANISM), (b"AUTH PLAIN eA==", replies.BAD_RESPONSE)],
)
def test_mechanisms_and_messages_that_are_none_are_declined(tmp_path: Path, line: bytes, reply: bytes) -> None:
    script = Script(line + b"\r\nQUIT\r\n")
    assert serve(tmp_path, script) is None
    assert script.sent == HELLO + reply + replies.QUIT_UNAUTHENTICATED


def test_auth_plain_without_tls_is_refused_as_unsafe(tmp_path: Path) -> None:
    script = Script(b"AUTH PLAIN " + PLAIN + b"\r\n", tls=False)
    assert serve(tmp_path, script) is None
    assert script.sent == HELLO + replies.CLEAR_TEXT_REFUSED


@pytest.mark.parametrize("last", [b"*\r\n", b"!\r\n", b""])
def test_an_abandoned_exchange_is_forgotten(tmp_path: Path, last: bytes) -> None:
    async def test(running: Running) -> None:
        assert await serve_client(Script(b"AUTH LOGIN\r\n", last), running.client, HELLO, 20.0) is None
        await running.client.domain("example.com")  # by its answer the abort has been sent
        with pytest.raises(ServiceUnavailable, match="no such exchange"):
            await running.client.continue_(Challenge(b"", 1), b"ann@example.com")

    with_service(tmp_path, test)


def test_a_client_that_says_nothing_is_dismissed(tmp_path: Path) -> None:
    class Silent(Script):
        async def read(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    script = Silent()
    assert serve(tmp_path, script, timeout=0.01) is None
    assert script.sent == HELLO + replies.IDLE_TOO_LONG


def test_a_client_that_vanishes_is_no_error(tmp_path: Path) -> None:
    class Gone(Script):
        async def write(self, data: bytes) -> None:
            raise ConnectionResetError

    assert serve(tmp_path, Gone(b"CAPA\r\n")) is None


def test_without_auth_the_client_is_asked_to_come_back(tmp_path: Path) -> None:
    script = Script(b"CAPA\r\n")

    async def test(running: Running) -> LoggedIn | None:
        elsewhere = AsyncAuthClient(type(running.config)({**running.config.values, "queue_directory": "/nonexistent"}))
        return await serve_client(script, elsewhere, HELLO, 20.0)

    with log.capture() as lines:
        assert with_service(tmp_path, test) is None
    assert script.sent == replies.SESSION_UNAVAILABLE
    assert "auth service" in lines[0]
