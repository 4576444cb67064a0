"""auth, the login part and the session part as real worker processes, each with its own user and confinement."""

from __future__ import annotations

import datetime
import os
import poplib
import pwd
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pillarbox.auth.program import PROGRAM as AUTH
from pillarbox.commands import user
from pillarbox.lib.config import Config, Service
from pillarbox.lib.tls.certificate import write_certificate
from pillarbox.pop3d.login.program import PROGRAM as LOGIN
from pillarbox.pop3d.session.program import PROGRAM as SESSION
from tests.auth.worker import running

VMAIL, NET, AUTH_UID, MAIL = 54331, 54332, 54333, 54334


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
        write_certificate(folder / "cert.pem", folder / "key.pem", "localhost", now=datetime.datetime.now(datetime.UTC))
        yield Config.for_tests(
            queue_directory=f"{name}/spool",
            mail_directory=f"{name}/mail",
            auth_database=f"{name}/accounts.sqlite",
            smtpd_tls_cert_file=f"{name}/cert.pem",
            smtpd_tls_key_file=f"{name}/key.pem",
            mail_owner=str(MAIL),
            auth_owner=str(AUTH_UID),
            net_owner=str(NET),
            vmail_owner=str(VMAIL),
        )


def test_mail_is_read_through_three_confined_processes(config: Config) -> None:
    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    folder = Path(config.socket_path("auth")).parents[2]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        session = workers.enter_context(running(SESSION, Service("pop3", "pop3d.session"), config))
        login = workers.enter_context(running(LOGIN, Service("pop3-login", "pop3d.login"), config, listener))
        for secured in (False, True):
            pop = poplib.POP3("localhost", port, timeout=20)
            if secured:
                pop.stls(context=trusting)
            pop.user("ann@example.com")
            pop.pass_("pw")
            assert pop.stat() == (0, 0)
            pop.quit()
        if os.geteuid() == 0:
            for pid, uid in ((session, VMAIL), (login, NET)):
                assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in Path(f"/proc/{pid}/status").read_text()
            made = folder / "mail/example.com/ann"
            assert made.stat().st_uid == VMAIL, "the mailbox belongs to the mailbox owner"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the users of this machine")
def test_a_system_user_reads_mail_as_that_user(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from pillarbox.auth import shadow
    from pillarbox.auth.verdict import Verdict
    from pillarbox.pop3d.system.program import PROGRAM as SYSTEM

    folder = Path(config.socket_path("auth")).parents[2]
    home, spool = folder / "home", folder / "spool-mail"
    for place in (home, spool):
        place.mkdir()
        os.chown(place, 54399, 54399)
    entry = pwd.struct_passwd(("zoe", "x", 54399, 54399, "Zoe", str(home), "/bin/sh"))
    # The workers are forked from this process, so they see what is put in its place here.
    monkeypatch.setattr(pwd, "getpwnam", {"zoe": entry}.__getitem__)
    monkeypatch.setattr(
        shadow, "check", lambda name, password: Verdict.RIGHT if (name, password) == ("zoe", "pw") else Verdict.WRONG
    )
    config = Config(
        {**config.values, "auth_system_users": "shadow", "home_mailbox": "Maildir/", "mail_spool_directory": str(spool)}
    )
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth", user="0"), config))
        workers.enter_context(running(SYSTEM, Service("pop3-system", "pop3d.system"), config))
        workers.enter_context(running(LOGIN, Service("pop3-login", "pop3d.login"), config, listener))
        pop = poplib.POP3("localhost", port, timeout=20)
        pop.user("zoe")
        pop.pass_("pw")
        assert pop.stat() == (0, 0)
        pop.quit()
    assert (home / "Maildir").stat().st_uid == 54399
