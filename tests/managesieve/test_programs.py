"""auth, the login part and the session parts as real worker processes, each with its own user and confinement."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pillarbox.auth import shadow
from pillarbox.auth.program import PROGRAM as AUTH
from pillarbox.auth.verdict import Verdict
from pillarbox.commands import user
from pillarbox.lib.config import Config, Service
from pillarbox.managesieved.login.program import PROGRAM as LOGIN
from pillarbox.managesieved.session.program import PROGRAM as SESSION
from pillarbox.managesieved.system.program import PROGRAM as SYSTEM
from tests.auth.worker import running
from tests.managesieve.client import Client

VMAIL, NET, AUTH_UID, MAIL, ZOE = 54341, 54342, 54343, 54344, 54345


@pytest.fixture
def config() -> Iterator[Config]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "spool/private").mkdir(parents=True)
        (folder / "mail").mkdir()
        if os.geteuid() == 0:
            os.chown(folder / "mail", VMAIL, VMAIL)
        (folder / "mail").chmod(0o700)
        yield Config.for_tests(
            instance_directory=name,
            queue_directory=f"{name}/spool",
            mail_directory=f"{name}/mail",
            auth_database=f"{name}/accounts.sqlite",
            mail_owner=str(MAIL),
            auth_owner=str(AUTH_UID),
            net_owner=str(NET),
            vmail_owner=str(VMAIL),
        )


def put_and_activate(port: int, credentials: bytes) -> None:
    with Client("127.0.0.1", port) as client:
        assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % credentials).condition == "OK"
        assert client.put("main", b"keep;\r\n").condition == "OK"
        assert client.ask(b'SETACTIVE "main"').condition == "OK"
        assert client.ask(b'RENAMESCRIPT "main" "other"').condition == "OK"
        assert client.ask(b"LISTSCRIPTS").lines == (b'"other" ACTIVE\r\n',)
        assert client.ask(b"LOGOUT").condition == "OK"


def test_scripts_are_stored_through_three_confined_processes(config: Config) -> None:
    assert user.main(["add", "ann@example.com", "secret"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("managesieve", "managesieved.session"), config))
        login = Service("managesieve-login", "managesieved.login")
        workers.enter_context(running(LOGIN, login, config, listener))
        put_and_activate(port, b"AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=")
    home = Path(config.socket_path("auth")).parents[2] / "mail/example.com/ann"
    assert (home / "sieve/other.sieve").read_bytes() == b"keep;\r\n"
    if os.geteuid() == 0:
        assert (home / "sieve/other.sieve").stat().st_uid == VMAIL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the users of this machine")
def test_a_system_user_manages_scripts_as_that_user(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(config.socket_path("auth")).parents[2]
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, ZOE, ZOE)
    entry = pwd.struct_passwd(("zoe", "x", ZOE, ZOE, "Zoe", str(home), "/bin/sh"))
    # The workers are forked from this process, so they see what is put in its place here.
    monkeypatch.setattr(pwd, "getpwnam", {"zoe": entry}.__getitem__)
    monkeypatch.setattr(
        shadow, "check", lambda name, word: Verdict.RIGHT if (name, word) == ("zoe", "pw") else Verdict.WRONG
    )
    config = Config({**config.values, "auth_system_users": "shadow"})
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth", user="0"), config))
        workers.enter_context(running(SYSTEM, Service("managesieve-system", "managesieved.system"), config))
        login = Service("managesieve-login", "managesieved.login")
        workers.enter_context(running(LOGIN, login, config, listener))
        put_and_activate(port, b"AHpvZQBwdw==")
    assert (home / "sieve/other.sieve").stat().st_uid == ZOE
    assert os.readlink(home / ".dovecot.sieve") == "sieve/other.sieve"
