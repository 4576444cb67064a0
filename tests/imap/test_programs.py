"""auth, the login part and the session part as real worker processes, each with its own user and confinement."""

from __future__ import annotations

import contextlib
import datetime
import imaplib
import os
import socket
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pillarbox.auth.program import PROGRAM as AUTH
from pillarbox.commands import user
from pillarbox.imapd.login.program import PROGRAM as LOGIN
from pillarbox.imapd.session.program import PROGRAM as SESSION
from pillarbox.lib.config import Config, Service
from pillarbox.lib.store.text.file import TextIndex
from pillarbox.lib.tls.certificate import write_certificate
from tests.auth.worker import running
from tests.imap.dialogue import MESSAGE

VMAIL, NET, AUTH_UID, MAIL = 54341, 54342, 54343, 54344


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that every user may enter (pytest's own may not be)."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "spool/private").mkdir(parents=True)
        (path / "mail").mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path / "mail", VMAIL, VMAIL)
        write_certificate(path / "cert.pem", path / "key.pem", "localhost", now=datetime.datetime.now(datetime.UTC))
        yield path


def parameters(folder: Path) -> dict[str, str]:
    return {
        "queue_directory": f"{folder}/spool",
        "mail_directory": f"{folder}/mail",
        "auth_database": f"{folder}/accounts.sqlite",
        "smtpd_tls_cert_file": f"{folder}/cert.pem",
        "smtpd_tls_key_file": f"{folder}/key.pem",
        "mail_owner": str(MAIL),
        "auth_owner": str(AUTH_UID),
        "net_owner": str(NET),
        "vmail_owner": str(VMAIL),
    }


@pytest.fixture
def config(folder: Path) -> Config:
    return Config.for_tests(**parameters(folder))


def owner(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
    (uid,) = set(line.split()[1:])
    return int(uid)


def test_mail_is_read_through_three_confined_processes(config: Config, folder: Path) -> None:
    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        session = workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        login = workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        for secured in (False, True):
            client = imaplib.IMAP4("localhost", port, timeout=20)
            if secured:
                client.starttls(ssl.create_default_context(cafile=str(folder / "cert.pem")))
            client.login("ann@example.com", "pw")
            assert client.append("INBOX", "", "", MESSAGE)[0] == "OK"
            client.select()
            status, data = client.fetch("1", "(BODY[])")
            assert status == "OK" and isinstance(data[0], tuple) and data[0][1] == MESSAGE
            client.logout()
        if os.geteuid() == 0:
            assert (owner(session), owner(login)) == (VMAIL, NET)
            assert (folder / "mail/example.com/ann").stat().st_uid == VMAIL


def test_idle_is_told_of_deliveries_inside_the_confinement(config: Config, folder: Path) -> None:
    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=20)
        with client, client.makefile("rb") as lines:
            lines.readline()
            client.sendall(
                b"a LOGIN ann@example.com pw\r\nb APPEND INBOX {11+}\r\nSubject: x\n\r\nc SELECT INBOX\r\nd IDLE\r\n"
            )
            while not lines.readline().startswith(b"+"):
                pass
            maildir = folder / "mail/example.com/ann"
            if not (maildir / "new").exists():
                maildir = next(maildir.rglob("new")).parent
            (maildir / "tmp/1.x").write_bytes(b"Subject: y\n\nz\n")
            os.chown(maildir / "tmp/1.x", maildir.stat().st_uid, maildir.stat().st_gid)
            (maildir / "tmp/1.x").rename(maildir / "new/1.x")
            assert lines.readline() == b"* 2 EXISTS\r\n"


def test_mailboxes_are_shared_between_accounts_inside_the_confinement(config: Config, folder: Path) -> None:
    for name in ("ann", "bob"):
        assert user.main(["add", f"{name}@example.com", "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        ann, bob = (imaplib.IMAP4("127.0.0.1", listener.getsockname()[1], timeout=20) for _ in range(2))
        with ann, bob:
            ann.login("ann@example.com", "pw")
            bob.login("bob@example.com", "pw")
            box = '"Other Users/ann@example.com/Box"'
            ann.create("Box")
            ann.append("Box", None, None, MESSAGE)
            assert bob.select(box)[0] == "NO"
            assert ann.setacl("Box", "bob", "lrs") == ("OK", [b"Setacl completed."])
            assert bob.myrights(box) == ("OK", [f"{box} lrs".encode()])
            assert bob.select(box) == ("OK", [b"1"])
            assert bob.append(box, None, None, MESSAGE)[0] == "NO"
            url = '"imap://ann%40example.com@localhost/Box/;uid=1;urlauth=user+bob%40example.com"'
            assert ann.xatom("GENURLAUTH", url, "INTERNAL")[0] == "OK"
            assert bob.xatom("URLFETCH", ann.response("GENURLAUTH")[1][0].decode())[0] == "OK"
            assert bob.response("URLFETCH")[1][0][1] == MESSAGE
            assert bob.list('""', '"Other*"')[1][-1] == f'(\\HasNoChildren) "/" {box}'.encode()


def test_login_part_cannot_redeem_a_token(config: Config) -> None:
    """What makes a login part that was taken over harmless: auth refuses its user (and only that one)."""
    if os.geteuid() != 0:
        pytest.skip("needs root: unprivileged, all programs are one user")
    from pillarbox.lib.clients.auth import AuthClient
    from pillarbox.lib.clients.errors import ServiceUnavailable

    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    with running(AUTH, Service("auth", "auth"), config):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setresgid(NET, NET, NET)
                os.setresuid(NET, NET, NET)
                AuthClient(config).redeem("0" * 32, "imap")
            except ServiceUnavailable:
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the login part's user redeemed a token"


def test_the_text_index_is_made_inside_the_confinement(config: Config, folder: Path) -> None:
    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        client = imaplib.IMAP4("localhost", listener.getsockname()[1], timeout=20)
        client.login("ann@example.com", "pw")
        client.append("INBOX", "", "", MESSAGE)
        client.select()
        assert client.search(None, "BODY", "hello") == ("OK", [b"1"])
        validity = int(client.response("UIDVALIDITY")[1][0] or 0)
        deadline = time.monotonic() + 20
        known: set[int] = set()
        while not known and time.monotonic() < deadline:
            for place in folder.rglob("pillarbox-text"):
                with contextlib.suppress(sqlite3.Error, FileNotFoundError), TextIndex(str(place)) as index:
                    found = index.find(validity, "hello", body=True, header=False)
                    known = found.known if found is not None else set()
            time.sleep(0.05)
        assert known == {1}
        client.logout()
