"""Tokens all the way: from a client to auth, from there to the confined oauth, from there to a server; and back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pillarbox.auth.program import PROGRAM as AUTH
from pillarbox.commands import user
from pillarbox.lib.clients.auth import AuthClient, Challenge, Failure, Step, Success
from pillarbox.lib.config import Config, Service
from pillarbox.oauth.program import PROGRAM
from tests.auth.worker import running
from tests.oauth.authorization import IntrospectionServer, good

UID = 54330
ANN = "ann@example.com"


@pytest.fixture
def folder() -> Iterator[str]:
    # Not tmp_path, which only root may enter when root runs the tests: the processes run as other users.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        Path(name, "spool/private").mkdir(parents=True)
        yield name


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as made:
        yield made


def configuration(folder: str, server: IntrospectionServer, **values: str) -> Config:
    return Config.for_tests(
        queue_directory=f"{folder}/spool",
        mail_directory=f"{folder}/mail",
        auth_database=f"{folder}/accounts.sqlite",
        mail_owner=str(UID),
        net_owner=str(UID + 1),
        auth_owner=str(UID + 2),
        auth_failure_delay="0s",
        oauth_introspection_url=server.url,
        **{"oauth_timeout": "10s", **values},
    )


def bearer(auth: AuthClient, token: str, username: str = "", *, service: str = "smtp") -> Step:
    name = f"a={username}" if username else ""
    message = f"n,{name},\x01auth=Bearer {token}\x01\x01".encode()
    return auth.begin(service, "OAUTHBEARER", message, client_address="192.0.2.1", encrypted=True)


def test_tokens_log_in(folder: str, server: IntrospectionServer) -> None:
    config = configuration(folder, server, oauth_scopes="mail", oauth_openid_configuration="https://as.example/conf")
    user.main(["add", ANN, "pw"], config)
    user.main(["add", "bob@example.com", "pw"], config)
    server.answers |= {
        "good": good(scope="mail"),
        "narrow": good(scope="other"),
        "foreign": good("eve@elsewhere.example", scope="mail"),
    }
    with ExitStack() as stack:
        for program in (PROGRAM, AUTH):
            stack.enter_context(running(program, Service(program.name, program.name), config))
        auth = AuthClient(config)
        assert auth.mechanisms(True, "192.0.2.1")[1:3] == ("OAUTHBEARER", "XOAUTH2")
        assert auth.mechanisms(False, "192.0.2.1") == ("SCRAM-SHA-256",), "tokens are as good as passwords"
        assert bearer(auth, "good") == Success(ANN, "", "OAUTHBEARER")
        assert bearer(auth, "good", "Ann@Example.COM") == Success(ANN, "", "OAUTHBEARER")
        step = auth.begin(
            "imap", "XOAUTH2", b"user=ann@example.com\x01auth=Bearer good\x01\x01", client_address="::1", encrypted=True
        )
        assert isinstance(step, Success)
        assert len(step.token) == 32
        for token, name in (("bad", ""), ("good", "bob@example.com"), ("foreign", ""), ("narrow", "")):
            step = bearer(auth, token, name)
            assert isinstance(step, Challenge), token
            status = b"insufficient_scope" if token == "narrow" else b"invalid_token"
            assert step.data == (
                b'{"status":"%s","scope":"mail","openid-configuration":"https://as.example/conf"}' % status
                if token in ("bad", "narrow")
                else b'{"status":"invalid_token"}'
            )
            step = auth.continue_(step, b"\x01")
            assert isinstance(step, Failure)
            assert (step.kind, step.temporary) == ("credentials", False)
        server.script = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        step = bearer(auth, "unknown-yet")
        assert isinstance(step, Failure)
        assert (step.kind, step.temporary) == ("temporary", True), "nobody can tell: never a no"
        assert bearer(auth, "good") == Success(ANN, "", "OAUTHBEARER"), "remembered"
        auth.close()


def test_without_the_room_tokens_are_a_temporary_failure(folder: str, server: IntrospectionServer) -> None:
    config = configuration(folder, server)
    user.main(["add", ANN, "pw"], config)
    with running(AUTH, Service("auth", "auth"), config):
        auth = AuthClient(config)
        step = bearer(auth, "good")
        assert isinstance(step, Failure)
        assert (step.kind, step.temporary) == ("temporary", True)
        step = auth.login("imap", ANN, "pw", client_address="192.0.2.1", encrypted=True)
        assert isinstance(step, Success), "passwords work"
        auth.close()


def test_the_room_runs_as_the_net_user(folder: str, server: IntrospectionServer) -> None:
    config = configuration(folder, server)
    with running(PROGRAM, Service("oauth", "oauth"), config) as pid:
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        if os.geteuid() == 0:
            assert f"Uid:\t{UID + 1}\t{UID + 1}\t{UID + 1}\t{UID + 1}" in status


def test_what_is_not_configured_needs_no_socket() -> None:
    for url, unix, ports in (("", False, ()), ("https://as.example:8443/x", True, (53, 8443))):
        config = Config.for_tests(oauth_introspection_url=url)
        assert AUTH.confinement is not None and PROGRAM.confinement is not None
        assert AUTH.confinement(config).unix is unix
        room = PROGRAM.confinement(config)
        assert (room.connect_tcp, room.udp, room.unix, room.exec, room.read) == (ports, bool(url), False, False, ())
