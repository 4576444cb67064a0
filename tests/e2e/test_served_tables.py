"""Tables in Redis, memcached and SQLite, behind socketmap and tcp, in a running suite; expressions that never end."""

from __future__ import annotations

import smtplib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.instance import Instance
from tests.peers.caches import Memcached, Redis
from tests.tables.answering import Answering

BOB = "bob@example.org"


def socketmap(received: bytes) -> bytes:
    if not received.endswith(b","):
        return b""
    return b"18:OK bob@example.org," if b" socket@alias.example," in received else b"9:NOTFOUND ,"


def tcp(received: bytes) -> bytes:
    if not received.endswith(b"\n"):
        return b""
    return b"200 REJECT%20not%20here\n" if received.startswith(b"get Subject:%20bad") else b"500 none\n"


class Servers:
    """All of them, each with one alias, and the files of the tables in them."""

    def __init__(self, redis: Redis, memcached: Memcached, answering: Answering, checking: Answering) -> None:
        self.redis, self.memcached, self.answering, self.checking = redis, memcached, answering, checking

    def tables(self, directory: Path) -> str:
        with sqlite3.connect(directory / "aliases.db") as database:
            database.execute("CREATE TABLE alias (address TEXT, goto TEXT)")
            database.execute("INSERT INTO alias VALUES ('sqlite@alias.example', ?)", (BOB,))
        database.close()
        files = {
            "redis": f"host = 127.0.0.1:{self.redis.port}\npassword = {self.redis.password}\n",
            "memcache": f"memcache = 127.0.0.1:{self.memcached.port}\nbackup = inline:{{memory@alias.example={BOB}}}\n",
            "sqlite": f"dbpath = {directory}/aliases.db\nquery = SELECT goto FROM alias WHERE address = '%s'\n",
        }
        for kind, text in files.items():
            (directory / kind).touch(mode=0o600)
            (directory / kind).write_text(text)
        listed = [f"{kind}:{directory / kind}" for kind in files]
        return ", ".join([*listed, f"socketmap:inet:127.0.0.1:{self.answering.port}:aliases"])


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Redis("secret") as redis, Memcached() as memcached, Answering(socketmap) as first, Answering(tcp) as second:
        redis.ask("SET", "redis@alias.example", BOB)
        yield Servers(redis, memcached, first, second)


def rcpt(mail: Instance, address: str) -> int:
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
        client.ehlo()
        client.mail("ann@client.example")
        return client.rcpt(address)[0]


def send(mail: Instance, address: str, subject: str) -> None:
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
        client.sendmail("ann@client.example", [address], f"Subject: {subject}\r\n\r\nhello\r\n")


def test_aliases_and_checks_behind_servers(servers: Servers) -> None:
    mail = Instance(users={BOB: "secret"})
    mail.settings = {
        "virtual_alias_domains": "alias.example",
        "lookup_cache_ttl": "0s",
        "virtual_alias_maps": servers.tables(mail.directory) + ", pcre:{{/^(a+)+@alias/ bob@example.org}}",
        "header_checks": f"tcp:127.0.0.1:{servers.checking.port}, proxy:pcre:{{{{/^Subject: worse/ REJECT nor here}}}}",
    }
    with mail:
        for name in ("redis", "memory", "sqlite", "socket"):
            send(mail, f"{name}@alias.example", name)
        mail.wait_for(lambda: len(mail.mailbox(BOB)) == 4)
        assert servers.memcached.ask("get memory@alias.example") == f"VALUE memory@alias.example 0 {len(BOB)}"
        assert rcpt(mail, "nobody@alias.example") == 550

        for subject, said in (("bad", b"not here"), ("worse", b"nor here")):
            with pytest.raises(smtplib.SMTPDataError) as refused:
                send(mail, BOB, subject)
            assert (refused.value.smtp_code, said in refused.value.smtp_error) == (550, True)

        # An address made for the expression: no answer, in bounded time, and lookup goes on.
        assert rcpt(mail, "a" * 50 + "!@alias.example") == 451
        assert mail.log_matching("line 1: the look-up of a key of 65 characters used up 0.5 s of processor time here")
        assert rcpt(mail, "aaa@alias.example") == 250

        # Nobody knows any more whether she exists; who is found before that server is asked is not touched by it.
        servers.answering.reply = lambda received: b"9:TEMP busy,"
        assert rcpt(mail, "nobody@alias.example") == 451
        assert rcpt(mail, "sqlite@alias.example") == 250
        servers.answering.reply = socketmap
        assert rcpt(mail, "nobody@alias.example") == 550
        servers.redis.stop()
        assert rcpt(mail, "sqlite@alias.example") == 451
        servers.redis.start()
        mail.wait_for(lambda: rcpt(mail, "sqlite@alias.example") == 250)
        assert not mail.log_matching("status=bounced|Traceback")
        assert not any("secret" in line for line in mail.log_lines())
