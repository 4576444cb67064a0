"""Sessions over databases, each program with its own user and confinement."""

from __future__ import annotations

import imaplib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pillarbox.auth.program import PROGRAM as AUTH
from pillarbox.commands import user
from pillarbox.imapd.login.program import PROGRAM as LOGIN
from pillarbox.imapd.session.program import PROGRAM as SESSION
from pillarbox.imapd.session.program import confinement
from pillarbox.lib.accounts import mail_location, mailbox_directory
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.stores import MAIL_LOCATION
from pillarbox.lib.store import open_store
from pillarbox.lib.store.reach import Reach, load_stores, mistakes, reach
from tests.auth.worker import running
from tests.imap.dialogue import MESSAGE
from tests.imap.test_programs import VMAIL, folder, parameters
from tests.peers.databases import PostgreSQL
from tests.peers.object_storage import Swift
from tests.store.conftest import close_pools, object_settings

__all__ = ["folder"]
ANN = "ann@example.com"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as made:
        yield made


@pytest.fixture(scope="module")
def swift() -> Iterator[Swift]:
    with Swift() as made:
        made.make_bucket("mail")
        yield made


@pytest.fixture(params=["sqlite", "pgsql-tcp", "pgsql-unix", "pgsql-objects"])
def config(request: pytest.FixtureRequest, folder: Path) -> Config:
    if request.param == "sqlite":
        return Config.for_tests(mail_location="sqlite:%h/mail.sqlite", **parameters(folder))
    server: PostgreSQL = request.getfixturevalue("server")
    passfile = folder / "password"
    passfile.write_text(server.password)
    passfile.chmod(0o400)
    settings = f"passfile={passfile}"
    if request.param == "pgsql-objects":
        settings += object_settings(request.getfixturevalue("swift"), folder / "keys").replace("%", "%%")
        (folder / "keys").chmod(0o400)
    if os.geteuid() == 0:
        for path in (passfile, folder / "keys"):
            if path.exists():
                os.chown(path, VMAIL, VMAIL)
    where = f"{server.address}:{server.port}/postgres?"
    if request.param == "pgsql-unix":
        where = f"/postgres?host={server.directory}&port={server.port}&"
    place = f"pgsql:postgresql://{server.user}@{where}{settings}#{folder.name}-%u"
    return Config.for_tests(mail_location=place, **parameters(folder))


def test_mail_is_stored_read_and_waited_for_by_a_confined_session(config: Config, folder: Path) -> None:
    assert user.main(["add", ANN, "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        client = imaplib.IMAP4("localhost", listener.getsockname()[1], timeout=20)
        client.login(ANN, "pw")
        large = MESSAGE + b"0123456789\r\n" * 100_000
        for text in (MESSAGE, large):
            assert client.append("INBOX", "", "", text)[0] == "OK"
            client.select()
            status, data = client.fetch("*", "(BODY[])")
            assert status == "OK" and isinstance(data[0], tuple) and data[0][1] == text
        assert client.search(None, "BODY", "no-such-word") == ("OK", [b""])
        if not config[MAIL_LOCATION].startswith("sqlite:"):  # without any setting
            kept = Path(mailbox_directory(config, ANN), "cache")
            end = time.monotonic() + 20
            while {path.parent.name for path in kept.glob("*/*")} != {"cache", "text"}:
                assert time.monotonic() < end, "no index is made in the account's home"
                time.sleep(0.05)
        load_stores(config)
        client.send(b"i IDLE\r\n")
        while not client.readline().startswith(b"+"):
            pass
        pid = os.fork()
        if pid == 0:
            if os.geteuid() == 0:
                os.setresgid(VMAIL, VMAIL, VMAIL)
                os.setresuid(VMAIL, VMAIL, VMAIL)
            open_store(mail_location(config, ANN)).append("INBOX", [MESSAGE])
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert client.readline() == b"* 3 EXISTS\r\n"
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"i "):
            pass
        client.logout()
    close_pools()


@pytest.mark.parametrize("config", ["pgsql-objects"], indirect=True)
def test_a_session_outlives_trouble_with_object_storage(
    config: Config, folder: Path, swift: Swift, capfd: pytest.CaptureFixture[str]
) -> None:
    assert user.main(["add", ANN, "pw"], config) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    large = MESSAGE + b"0123456789\r\n" * 10_000
    keys = (folder / "keys").read_text()
    with ExitStack() as workers:
        workers.enter_context(running(AUTH, Service("auth", "auth"), config))
        workers.enter_context(running(SESSION, Service("imap", "imapd.session"), config))
        workers.enter_context(running(LOGIN, Service("imap-login", "imapd.login"), config, listener))
        client = imaplib.IMAP4("localhost", listener.getsockname()[1], timeout=20)
        client.login(ANN, "pw")

        def refused(answer: tuple[str, list[bytes]]) -> str:
            assert answer[0] == "NO" and answer[1][0].startswith(b"[UNAVAILABLE] object storage 127.0.0.1: "), answer
            told = capfd.readouterr().err
            assert f"warning: imap({ANN}): object storage 127.0.0.1: " in told
            return told

        (folder / "keys").write_text(f"{swift.key}\nanother\n")
        told = refused(client.append("INBOX", "", "", large))
        assert "PUT: 403 SignatureDoesNotMatch (access key or secret in objectsfile" in told and "another\n" not in told
        (folder / "keys").write_text(keys)
        assert client.append("INBOX", "", "", large)[0] == "OK"
        swift.kill()
        assert client.select() == ("OK", [b"1"])
        refused(client.fetch("1", "(BODY[])"))
        refused(client.append("INBOX", "", "", large + b"more\r\n"))
        assert client.append("INBOX", "", "", MESSAGE)[0] == "OK"
        swift.start()
        _, data = client.fetch("1:2", "(BODY[])")
        assert [part[1] for part in data if isinstance(part, tuple)] == [large, MESSAGE]
        client.logout()
    close_pools()


def test_check_finds_locations_that_cannot_work() -> None:
    config = Config.for_tests(
        virtual_mailbox_base="/mail",
        mail_location="sqlite:/elsewhere/%u",
        mail_location_domains="{a.example: 'pgsql:postgresql://mail@db/mail?sslmode=loud#%u',"
        " b.example: 'pgsql:postgresql://mail@db/mail?cache=/tmp/%u#%u', c.example: 'maildir:/mail/%u',"
        " d.example: 'pgsql:postgresql://mail@db/mail?cache=%h/cache#%u'}",
    )
    first, second, third = mistakes(config)
    assert first.startswith("mail_location: /elsewhere/%u is not below virtual_mailbox_base")
    assert second.startswith("mail_location_domains: a.example: ") and "sslmode" in second
    assert third.startswith("mail_location_domains: b.example: cache is not below")
    assert list(mistakes(Config.for_tests())) == []


def test_what_a_program_must_reach_is_what_the_locations_name() -> None:
    config = Config.for_tests(
        mail_location="pgsql:postgresql://mail@db.example.com/mail?passfile=/etc/secret&objects=https://s3/b"
        "&objectsfile=/etc/keys#%u",
        mail_location_domains="{a.example: 'pgsql:postgresql://mail@192.0.2.1:1234/mail#%u',"
        " b.example: 'sqlite:%h/mail', c.example: 'pgsql:postgresql://mail@/mail?host=/run/postgresql#%u'}",
    )
    found = reach(config)
    assert found == Reach(("/etc/secret", "/etc/keys"), (443, 1234, 5432), True, True)
    escaped = Config.for_tests(
        mail_location="pgsql:postgresql://mail@db/mail?objects=https%%3A%%2F%%2Fs3:81%%2Fb&objectsfile=/etc/k%%20s#%u"
    )
    assert reach(escaped) == Reach(("/etc/k s",), (81, 5432), False, True)
    assert [each.partition(": ")[2] for each in mistakes(escaped)] == ["/etc/k s: No such file or directory"]
    assert reach(Config.for_tests()) == Reach()
    for each, ports in ((config, (443, 1234, 5432)), (Config.for_tests(), ())):
        assert confinement(each).connect_tcp == ports
