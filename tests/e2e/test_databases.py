"""Aliases in PostgreSQL, MariaDB and OpenLDAP in a running suite: delivery, dead servers, files of root."""

from __future__ import annotations

import os
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.instance import Instance
from tests.peers.databases import MariaDB, OpenLDAP, PostgreSQL

ENTRIES = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=l,dc=example,dc=org
objectClass: device
objectClass: extensibleObject
cn: l
mail: l@alias.example
description: bob@example.org
"""


class Servers:
    """The three servers, each with one alias, and the files of the tables in them."""

    def __init__(self, postgresql: PostgreSQL, mariadb: MariaDB, openldap: OpenLDAP) -> None:
        self.postgresql, self.mariadb, self.openldap = postgresql, mariadb, openldap
        for server, name in ((postgresql, "p"), (mariadb, "m")):
            server.execute(
                "CREATE TABLE alias (address varchar(100), goto varchar(100))",
                f"INSERT INTO alias VALUES ('{name}@alias.example', 'bob@example.org'), ('second', 'bob@example.org')",
            )

    def files(self, directory: Path) -> dict[str, Path]:
        sql = "query = SELECT goto FROM alias WHERE address = '%s'\nretry_interval = 1\ntimeout = 1\n"
        one, two, three = self.postgresql, self.mariadb, self.openldap
        texts = {
            "pgsql": f"hosts = unix:{one.directory}:{one.port}\nuser = {one.user}\npassword = {one.password}\n"
            f"dbname = postgres\n{sql}",
            "mysql": f"hosts = 127.0.0.1:{two.port}\nuser = {two.user}\npassword = {two.password}\n"
            f"dbname = mail\n{sql}",
            "ldap": f"server_host = ldap://localhost:{three.port}\nsearch_base = {three.base}\nbind_dn = {three.user}\n"
            f"bind_pw = {three.password}\nquery_filter = (mail=%s)\nresult_attribute = description\n",
        }
        found = {}
        for kind, text in texts.items():
            found[kind] = directory / f"{kind}.cf"
            found[kind].touch(mode=0o600)
            found[kind].write_text(text)
        return found


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with PostgreSQL() as postgresql, MariaDB() as mariadb, OpenLDAP(ENTRIES) as openldap:
        yield Servers(postgresql, mariadb, openldap)


def rcpt(mail: Instance, address: str) -> int:
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
        client.ehlo()
        client.mail("ann@client.example")
        return client.rcpt(address)[0]


def test_aliases_in_servers(servers: Servers) -> None:
    mail = Instance(users={"bob@example.org": "secret"})
    files = servers.files(mail.directory)
    mail.settings = {
        "virtual_alias_domains": "alias.example",
        "lookup_cache_ttl": "0s",
        "virtual_alias_maps": f"pgsql:{files['pgsql']}, proxy:mysql:{files['mysql']}, ldap:{files['ldap']}",
    }
    with mail:
        assert "cf" not in mail.run(["pillarbox", "check"]).stderr
        for name in "pml":
            with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
                client.sendmail("ann@client.example", [f"{name}@alias.example"], f"Subject: {name}\r\n\r\nhello\r\n")
        mail.wait_for(lambda: len(mail.mailbox("bob@example.org")) == 3)
        assert rcpt(mail, "nobody@alias.example") == 550
        assert rcpt(mail, "x'or'1'='1@alias.example") == 550

        # Nobody knows any more whether she exists; who is found before that server is asked is not touched by it.
        servers.mariadb.kill()
        assert rcpt(mail, "nobody@alias.example") == 451
        assert rcpt(mail, "m@alias.example") == 451
        assert rcpt(mail, "p@alias.example") == 250
        with servers.postgresql.frozen():
            assert rcpt(mail, "p@alias.example") == 451
        servers.mariadb.start()
        mail.wait_for(lambda: rcpt(mail, "m@alias.example") == 250)
        assert rcpt(mail, "nobody@alias.example") == 550

        # A new query, in a file that the running process may not read (as root: it is another user's).
        text = files["pgsql"].read_text()
        files["pgsql"].write_text(text.replace("address = '%s'", "address = 'second' AND '%u' = 'new'"))
        mail.wait_for(lambda: rcpt(mail, "new@alias.example") == 250)
        mail.wait_for(lambda: rcpt(mail, "p@alias.example") == 550)
        if os.geteuid() == 0:
            assert mail.log_matching(f"table {files['pgsql']} has changed -- restarting")

        # A mistake in it: mail waits, and the log says what and where.
        files["pgsql"].write_text(text.replace("query", "quer"))
        mail.wait_for(lambda: rcpt(mail, "nobody@alias.example") == 451)
        line = 1 + text[: text.index("query")].count("\n")
        mistake = f'{files["pgsql"]}, line {line}: unknown setting "quer"; did you mean "query"'
        assert mail.log_matching(re.escape(mistake))
        assert mistake in mail.run(["pillarbox", "check"]).stderr
        assert not mail.log_matching("status=bounced|Traceback")
        for secret in (servers.mariadb.password, servers.openldap.password):
            assert not any(secret in line for line in mail.log_lines())
