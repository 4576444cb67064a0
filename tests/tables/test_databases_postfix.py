"""Our `pgsql:`, `mysql:` and `ldap:` and Debian's Postfix read the same files and say the same of the same keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pillarbox.lib.tables import STANDARD, LookupFailed
from pillarbox.lib.tables.blocking import waiting_allowed
from tests.peers import peer
from tests.peers.databases import MariaDB, OpenLDAP, PostgreSQL
from tests.tables.test_databases import ENTRIES

Postmap = Callable[[str, tuple[str, ...]], dict[str, str]]

KEYS = (
    *("info@example.org", "INFO@example.ORG", "plain", "@example.org", "example.org", "a@", "@", "a@b@example.org"),
    *("a@sub.mail.example.org", "o'neil@example.org", 'q"uote@example.org', "sl\\ash@example.org", "per%cent"),
    *("nobody", "empty@example.org", "null@example.org", "many@example.org", "a@example..org", ".", "x y@example.org"),
)

MISSING = "query = SELECT goto FROM missing WHERE address = '%s'"
SQL = (
    "query = SELECT goto FROM alias WHERE address = '%s' ORDER BY goto",
    "query = SELECT goto FROM alias WHERE address = '%u@%d' ORDER BY goto\nresult_format = %u/%d",
    "query = SELECT goto, number FROM alias WHERE address = '%u' ORDER BY goto\nresult_format = [%s]%%",
    "query = SELECT '%u|%d|%1|%2'",
    "query = SELECT '%S|%U|%s'\nresult_format = %U:%S:%s",
    "query = SELECT '%s'\nresult_format = %D %1 %s",
    "query = SELECT '%3.%2.%1'",
    "query = SELECT '%s'\ndomain = example.org other.org",
    "query = SELECT '%s'\ndomain = !sub.mail.example.org, inline:{example.org=1, sub.mail.example.org=1}",
    "table = alias\nselect_field = goto\nwhere_field = address\nadditional_conditions = AND number < 5",
    "query = SELECT '100%%' WHERE '%s' LIKE '%%@%%'",
)

GROUP = "query_filter = (mail=%s)\nresult_attribute = uid\nspecial_result_attribute = member"
LDAP = (
    "query_filter = (mail=%s)\nresult_attribute = description",
    "query_filter = mail=%s\nresult_attribute = uid, description",
    "query_filter = (mail=%u@%d)\nresult_attribute = description\nresult_format = %u at %d",
    "query_filter = (uid=%u)\nresult_attribute = uid\nsearch_base = ou=people,dc=%2,dc=%1\nscope = one",
    GROUP,
    f"{GROUP}, memberURL\nleaf_result_attribute = description",
    f"{GROUP}\nterminal_result_attribute = description",
    f"{GROUP}\nleaf_result_attribute = description",
    "query_filter = (mail=%s)\nresult_attribute = description\nspecial_result_attribute = memberURL",
    "query_filter = (mail=%s)\nresult_filter = <%s>\nresult_attribute = uid\ndomain = example.org",
)
LDAP_KEYS = (
    *("info@example.org", "ann@example.org", "staff@example.org", "everybody@example.org"),
    *(
        "bob@example.com",
        "*",
        "ann*",
        "ann)(uid=*",
        "ann,dc=x@example.org",
        "ann@example.org.",
        "ann",
        "\\61nn@example.org",
    ),
)

ERRORS = (
    ("pgsql mysql", f"{SQL[0]}\nexpansion_limit = 1", ("info@example.org", "plain")),
    ("pgsql mysql", MISSING, ("plain",)),
    ("ldap", f"{GROUP}\nrecursion_limit = 1", ("staff@example.org", "ann@example.org")),
    ("ldap", f"{GROUP}\nrecursion_limit = 20", ("loop@example.org",)),
    ("ldap", f"{GROUP}\nexpansion_limit = 1", ("staff@example.org", "info@example.org", "ann@example.org")),
    ("ldap", f"{GROUP}\nsize_limit = 1", ("info@example.org", "ann@example.org")),
    ("ldap", f"{GROUP}\nsearch_base = dc=missing", ("ann@example.org",)),
)


@pytest.fixture(scope="module")
def postmap(tmp_path_factory: pytest.TempPathFactory) -> Postmap:
    """What the foreign postmap says: "=value", "-" for not found, "!" for a temporary error."""
    postfix = peer("postfix-databases")
    config = tmp_path_factory.mktemp("config")
    (config / "main.cf").write_text(
        f"shlib_directory = {postfix.root}/usr/lib/postfix\nmeta_directory = {config}\nmail_owner = uucp\n"
        "setgid_group = tape\ncompatibility_level = 3.6\n"
    )
    kinds = ("pgsql", "mysql", "ldap")
    (config / "dynamicmaps.cf").write_text("".join(f"{kind}\tpostfix-{kind}.so\tdict_{kind}_open\n" for kind in kinds))

    for path in config.iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))

    def ask(spec: str, keys: tuple[str, ...]) -> dict[str, str]:
        if len(keys) <= 2:
            return {key: ask_one(spec, key) for key in keys}
        done = postfix.run(["postmap", "-c", str(config), "-q", "-", spec], input="".join(f"{key}\n" for key in keys))
        if "fatal" not in done.stderr:
            found = dict(line.split("\t", 1) for line in done.stdout.splitlines())
            return {key: f"={found[key]}" if key in found else "-" for key in keys}
        return {key: ask_one(spec, key) for key in keys}

    def ask_one(spec: str, key: str) -> str:
        done = postfix.run(["postmap", "-c", str(config), "-q", key, spec])
        if done.returncode == 0:
            return f"={done.stdout.removesuffix(chr(10))}"
        return "!" if "error" in done.stderr and "postmap: fatal" in done.stderr else "-"

    return ask


def ours(spec: str, keys: tuple[str, ...]) -> dict[str, str]:
    table = STANDARD.open(spec)

    def ask(key: str) -> str:
        try:
            with waiting_allowed():
                value = table.get(key)
        except LookupFailed:
            return "!"
        return "-" if value is None else f"={value}"

    return {key: ask(key) for key in keys}


def fill(server: PostgreSQL | MariaDB) -> None:
    rows: list[tuple[str, str | None, int]] = [
        *(("info@example.org", f"{name}@example.org", 7) for name in ("ann", "bob")),
        *(("plain", "local", 1), ("empty@example.org", "", 1), ("empty@example.org", "x", 1), ("info", "y@z", 2)),
        *(("null@example.org", None, 1), ("o'neil@example.org", "quoted@x.org", 3)),
        *(("many@example.org", f"{number:04d}@x.org", 9) for number in range(300)),
    ]
    quoted = (f"({', '.join(map(_sql, row))})" for row in rows)
    server.execute(
        "CREATE TABLE alias (address varchar(100), goto varchar(100), number int)",
        f"INSERT INTO alias VALUES {', '.join(quoted)}",
    )


def _sql(cell: object) -> str:
    if isinstance(cell, str):
        return "'" + cell.replace("'", "''") + "'"
    return "NULL" if cell is None else str(cell)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[[str], str]]]:
    """By type: a function that gives the table of some settings."""
    directory = tmp_path_factory.mktemp("files")
    with PostgreSQL() as postgresql, MariaDB() as mariadb, OpenLDAP(ENTRIES) as openldap:
        fill(postgresql)
        fill(mariadb)
        common = {
            "pgsql": f"hosts = {postgresql.address}:{postgresql.port}\nuser = {postgresql.user}\ndbname = postgres\n"
            f"password = {postgresql.password}\n",
            "mysql": f"hosts = unix:{mariadb.socket}\nuser = {mariadb.user}\ndbname = mail\n"
            f"password = {mariadb.password}\n",
            "ldap": f"server_host = ldap://{openldap.address}:{openldap.port}\nsearch_base = {openldap.base}\n"
            f"version = 3\nbind_dn = {openldap.user}\nbind_pw = {openldap.password}\n",
        }

        def maker(kind: str) -> Callable[[str], str]:
            def make(text: str) -> str:
                path = directory / f"{kind}-{abs(hash(text))}.cf"
                path.write_text(f"{common[kind]}{text}\n")
                path.chmod(0o600)
                # Postfix does not trust a file that changed within the last second, and waits instead of reading it.
                os.utime(path, (time.time() - 60, time.time() - 60))
                return f"{kind}:{path}"

            return make

        yield {kind: maker(kind) for kind in common}


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize("kind", ["pgsql", "mysql"])
def test_sql(files: dict[str, Callable[[str], str]], postmap: Postmap, kind: str, text: str) -> None:
    spec = files[kind](text)
    assert ours(spec, KEYS) == postmap(spec, KEYS)


@pytest.mark.parametrize("text", LDAP)
def test_ldap(files: dict[str, Callable[[str], str]], postmap: Postmap, text: str) -> None:
    spec = files["ldap"](text)
    assert ours(spec, LDAP_KEYS) == postmap(spec, LDAP_KEYS)


def test_temporary_errors(files: dict[str, Callable[[str], str]], postmap: Postmap) -> None:
    """All at once: Postfix's programs wait some seconds before they end because of an error."""
    cases = [(files[kind](text), key) for kinds, text, keys in ERRORS for kind in kinds.split() for key in keys]
    with ThreadPoolExecutor(len(cases)) as pool:
        theirs = list(pool.map(lambda case: postmap(case[0], (case[1],)), cases))
    assert [ours(spec, (key,)) for spec, key in cases] == theirs
    assert sum("!" in answers.values() for answers in theirs) >= 8


def test_our_postmap_asks_them_too(files: dict[str, Callable[[str], str]], capsys: pytest.CaptureFixture[str]) -> None:
    from pillarbox.commands.postmap import main

    assert main(["-q", "plain", files["pgsql"](SQL[0])]) == 0
    assert main(["-q", "nobody", files["mysql"](SQL[0])]) == 1
    assert capsys.readouterr().out == "local\n"
    assert main(["-q", "plain", files["mysql"](MISSING)]) == 1
    assert "mysql query failed" in capsys.readouterr().err
    assert Path(files["ldap"](LDAP[0]).partition(":")[2]).exists()
