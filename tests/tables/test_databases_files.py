"""The files of tables in servers: settings, templates, SQL, hosts, and what is said of mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, TableChanged, TableError
from pillarbox.lib.tables.blocking import WouldBlock, waiting_allowed
from pillarbox.lib.tables.query_hosts import parse_host
from pillarbox.lib.tables.query_pool import Server
from pillarbox.lib.tables.query_settings import parse_settings
from pillarbox.lib.tables.query_sql import MYSQL, POSTGRESQL, SQLITE, Dialect, parse_sql
from pillarbox.lib.tables.query_template import Substitution, parse_template
from pillarbox.lib.tables.table import Reach
from tests.feeding import truncations, with_trailing

VALUES = Substitution([parse_template("%s%u%d%1%2")], parse_template("%s")).of_key("o'n\"e\\@x.org") or {}
KINDS = ("pgsql", "mysql", "ldap")


def literal(text: str) -> str:
    return f"<{text}>"


# --- templates


@pytest.mark.parametrize(
    ("query", "result", "key", "expected"),
    [
        ("%s", "%s", "a", "a"),
        ("%u|%U", "%s", "a", "a|a"),
        ("%u|%d", "%s", "a@b@c.org", "a@b|c.org"),
        ("%d", "%s", "a", None),
        ("%d", "%s", "a@", None),
        ("%u", "%s", "@x.org", None),
        ("%d", "%s", "@x.org", "x.org"),
        ("%s", "%D", "a", None),
        ("%s", "%U", "@x.org", None),
        ("%s", "%d", "a", "a"),
        ("%3.%2.%1", "%s", "a@mail.example.com", "mail.example.com"),
        ("%3", "%s", "a@example.com", None),
        ("%s", "%1", "a", None),
        ("100%%", "%s", "a", "100%"),
        ("%s", "%s", "", None),
    ],
)
def test_what_a_key_makes_of_a_query(query: str, result: str, key: str, expected: str | None) -> None:
    template = parse_template(query)
    values = Substitution([template], parse_template(result)).of_key(key)
    assert (None if values is None else template.fill(values)) == expected


@pytest.mark.parametrize(
    ("result", "value", "expected"),
    [
        ("%s", "v", "v"),
        ("smtp:[%s]", "host", "smtp:[host]"),
        ("%u", "a@b", "a"),
        ("%u", "v", "v"),
        ("%d", "v", None),
        ("%d", "a@", None),
        ("%u", "@b", None),
        ("%U+%u@%D", "v", "key+v@x.org"),
        ("%S %1 %%", "v", "key@x.org org %"),
        ("%s", "", None),
    ],
)
def test_what_a_value_makes_of_the_result(result: str, value: str, expected: str | None) -> None:
    template = parse_template(result)
    substitution = Substitution([parse_template("%s")], template)
    values = substitution.of_value(substitution.of_key("key@x.org") or {}, value)
    assert (None if values is None else template.fill(values)) == expected


@pytest.mark.parametrize("text", ["%", "a%", "%x", "%0", "%%%"])
def test_a_percent_sign_that_means_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="was expected"):
        parse_template(text)


# --- SQL


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        (POSTGRESQL, "SELECT a FROM t WHERE k = '%s'", "SELECT a FROM t WHERE k = <o'n\"e\\@x.org>"),
        (POSTGRESQL, "SELECT '%u@%d'", "SELECT <o'n\"e\\@x.org>"),
        (POSTGRESQL, "SELECT 'it''s %d', 'it''s'", "SELECT <it's x.org>, 'it''s'"),
        (POSTGRESQL, "SELECT k LIKE '%%%d'", "SELECT k LIKE <%x.org>"),
        (POSTGRESQL, 'SELECT "a%%b" WHERE k=%d', 'SELECT "a%b" WHERE k=<x.org>'),
        (POSTGRESQL, "SELECT $$it's$$ -- it's\n, '%d'", "SELECT $$it's$$ -- it's\n, <x.org>"),
        (POSTGRESQL, "SELECT $a$ '$$ $a$, '%d' /* ' */", "SELECT $a$ '$$ $a$, <x.org> /* ' */"),
        (POSTGRESQL, "SELECT k LIKE'%d'", "SELECT k LIKE<x.org>"),
        (POSTGRESQL, "SELECT '\\', '%d'", "SELECT '\\', <x.org>"),
        (MYSQL, "SELECT '\\'', \"%d\" # it's", "SELECT '\\'', <x.org> # it's"),
        (MYSQL, "SELECT 'a\\'\\n\\%%%d' FROM `t'`", "SELECT <a'\n\\%x.org> FROM `t'`"),
        (SQLITE, "SELECT '%2' FROM [t]", "SELECT <x> FROM [t]"),
        (SQLITE, "SELECT '%2' FROM [it's], [t], '%2'", "SELECT <x> FROM [it's], [t], <x>"),
    ],
)
def test_literals_with_slots_are_written_by_the_client(dialect: Dialect, text: str, expected: str) -> None:
    assert parse_sql(text, dialect).fill(VALUES, literal) == expected


@pytest.mark.parametrize(
    ("dialect", "text", "reason"),
    [
        (POSTGRESQL, "SELECT E'%s'", "a plain literal was expected"),
        (POSTGRESQL, "SELECT U&'%s'", "a plain literal was expected"),
        (POSTGRESQL, 'SELECT "%s"', "a key cannot stand in the name"),
        (POSTGRESQL, "SELECT $$%s$$", "a key cannot stand in the literal"),
        (POSTGRESQL, "SELECT 1 -- %s", "a key cannot stand in the comment"),
        (POSTGRESQL, "SELECT 1 /* %s */", "a key cannot stand in the comment"),
        (POSTGRESQL, "SELECT '%s", "' was expected at the end"),
        (POSTGRESQL, "SELECT $a$ %s", "was expected at the end of a literal"),
        (MYSQL, "SELECT `%s`", "a key cannot stand in the name"),
        (MYSQL, "SELECT 1 # %s", "a key cannot stand in the comment"),
        (MYSQL, "SELECT x'%s'", "a plain literal was expected"),
        (MYSQL, "SELECT _latin1 '%s'", "a plain literal was expected"),
        (MYSQL, "SELECT '%s\\'", "' was expected at the end"),
        (MYSQL, "SELECT /* '%s'", r'"\*/" was expected'),
        (MYSQL, " ", "a query was expected"),
        (SQLITE, "SELECT a FROM [t_%d] WHERE k = '%s'", "a key cannot stand in the name"),
        (SQLITE, "SELECT a FROM [t WHERE k = '%s'", "was expected at the end"),
    ],
)
def test_a_key_may_not_stand_where_it_would_not_be_safe(dialect: Dialect, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_sql(text, dialect)


@given(st.text("'\"`\\$-#/*%sdE \nx&a", max_size=30), st.sampled_from([POSTGRESQL, MYSQL, SQLITE]))
def test_any_template_is_refused_or_keeps_the_key_inside_a_literal(text: str, dialect: Dialect) -> None:
    try:
        template = parse_sql(text, dialect)
    except ValueError:
        return
    # What the client does not write is the same for every key.
    first = template.fill(dict.fromkeys("suSUDd123456789", ""), lambda value: "\0")
    second = template.fill(dict.fromkeys("suSUDd123456789", "'\"\\$$*/\n"), lambda value: "\0")
    assert first == second


# --- settings

GOOD = b"# a comment\nhosts = a b,\n  c\n\nquery = SELECT '%s'\npassword = p$x = #1 \n"


def test_settings_are_read_as_they_are() -> None:
    settings = parse_settings(GOOD, "f", ("hosts", "query", "password"))
    assert settings.words("hosts") == ("a", "b", "c")
    assert settings.text("password") == "p$x = #1"
    for data in (*truncations(GOOD), *with_trailing(GOOD)):
        try:
            parse_settings(data, "f", ("hosts", "query", "password"))
        except ValueError as error:
            assert str(error).startswith("f, line ") or "f: " in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hosts\n", 'FILE, line 1: "name = value" was expected'),
        ("\n#\nhots = a\n", 'FILE, line 3: unknown setting "hots"; did you mean "hosts"?'),
        (
            "expansion_limit = many\n",
            'FILE, line 1: expansion_limit: a whole number, at least 0, was expected instead of "many"',
        ),
        ("result_format = %z\n", 'FILE, line 1: result_format: "%z": %%, %s,'),
        ("hosts = :1\n", 'FILE, line 1: hosts: "inet:host:port" or "unix:/path" was expected instead of ":1"'),
        ("timeout = 0\n", "FILE, line 1: timeout: a whole number, at least 1,"),
        ("domain = hush:x\n", "FILE, line 1: domain: unsupported dictionary type: hush"),
        ("domain = /nonexistent/x\n", "FILE, line 1: domain: "),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, kind: str, text: str, reason: str) -> None:
    if kind == "ldap":
        text, reason = (each.replace("hosts", "server_host").replace("hots", "server_hots") for each in (text, reason))
    path = tmp_path / "t.cf"
    path.write_text(text + ("" if kind == "ldap" else "query = SELECT '%s'\ndbname = x\n"))
    table = STANDARD.open(f"{kind}:{path}")
    with log.capture() as lines, pytest.raises(LookupFailed) as caught:
        table.examine()
    assert reason.replace("FILE", str(path)) in str(caught.value)
    assert len(lines) == 1
    with pytest.raises(LookupFailed):
        table.get("a")  # and mail waits


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("pgsql", "query = SELECT '%s'\n", "dbname: a value was expected"),
        ("pgsql", "dbname = x\n", "query: a query was expected"),
        ("pgsql", "dbname = x\ntable = t\nselect_field = f\n", "where_field: a value was expected"),
        ("pgsql", "query = SELECT E'%s'\ndbname = x\n", "line 1: query: a key cannot stand in E'%s'"),
        ("pgsql", "query = SELECT 1\ndbname = x\nencoding = SJIS\n", "line 3: encoding: UTF8 or LATIN1 was expected"),
        (
            "pgsql",
            "query = SELECT 1\nhosts = postgresql://h/x?sslmod=on\n",
            'line 2: hosts: .*"sslmod" is not supported',
        ),
        (
            "pgsql",
            "query = SELECT 1\nhosts = postgresql://u:se@h/x?sslmode=y\n",
            r"postgresql://u:\.\.\.@h/x.*: sslmode",
        ),
        ("mysql", "query = SELECT 1\ncharset = gbk\n", "line 2: charset: one of utf8mb4"),
        ("mysql", "query = SELECT 1\ntls_CAfile = /nonexistent\n", "/nonexistent: certificates in PEM format"),
        ("mysql", "query = SELECT 1\noption_file = /nonexistent\n", "line 2: option_file: "),
        ("mysql", "query = SELECT 1\nrequire_result_set = maybe\n", 'line 2: require_result_set: "yes" or "no"'),
        ("ldap", "query_filter = (a=%s\n", "line 1: query_filter: a filter of RFC 4515 was expected"),
        ("ldap", "scope = all\n", "line 1: scope: one of base, one, sub was expected"),
        ("ldap", "server_host = http://x\n", "line 1: server_host: .*ldap://, ldaps:// or ldapi:// was expected"),
        ("ldap", "bind = sasl\nsasl_mechs = GSSAPI\n", "line 2: sasl_mechs: EXTERNAL was expected"),
        ("ldap", "chase_referrals = 1\n", "line 1: chase_referrals: 0 was expected"),
        ("ldap", "dereference = 4\n", "line 1: dereference: 0, 1, 2 or 3"),
    ],
)
def test_mistakes_of_one_type(tmp_path: Path, kind: str, text: str, reason: str) -> None:
    path = tmp_path / "t.cf"
    path.write_text(text)
    with pytest.raises(LookupFailed, match=reason):
        STANDARD.open(f"{kind}:{path}").examine()


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:sec+ret@h/x?sslmode=y",
        "postgresql://u:sec+ret@h/x?nothing=y",
        "postgresql://h/x?user=u&password=sec+ret&sslmode=y",
        "postgresql://h/x?nothing=y&password=sec+ret",
        "postgresql://u:sec+ret/sl?ash@h/x",
        "postgresql://u:sec+ret#@h/x?sslmode=y",
        "postgresql://u:p@sec+ret@h,i/x",
        "postgresql://h:99999/x?password=sec+ret",
    ],
)
def test_mistakes_in_a_uri_do_not_show_its_password(tmp_path: Path, uri: str) -> None:
    path = tmp_path / "t.cf"
    path.write_text(f"query = SELECT 1\nhosts = {uri}\n")
    with log.capture() as said, pytest.raises(LookupFailed, match="line 2: hosts: ") as failed:
        STANDARD.open(f"pgsql:{path}").examine()
    assert "sec" not in failed.value.reason + "".join(said)


def test_a_server_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    path.write_text("query = SELECT '%s'\nhosts = postgresql://127.0.0.1:1/x?user=u&password=secret&sslmode=disable\n")
    table = STANDARD.open(f"pgsql:{path}")
    with log.capture() as said, waiting_allowed(), pytest.raises(LookupFailed, match=r"127\.0\.0\.1:1/x") as failed:
        table.get("key")
    assert "secret" not in failed.value.reason + "".join(said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_no_path_is_refused(kind: str) -> None:
    with pytest.raises(TableError, match=f"table {kind}:name: the path of a file"):
        STANDARD.open(f"{kind}:name")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("db.example", Server("", "db.example", 5)),
        ("db.example:99", Server("", "db.example", 99)),
        ("inet:10.0.0.1:99", Server("", "10.0.0.1", 99)),
        ("[::1]:99", Server("", "::1", 99)),
        ("[::1]", Server("", "::1", 5)),
        ("::1", None),
        ("unix:/run/db", Server("", path="/run/db|5")),
        ("/run/db:99", Server("", path="/run/db|99")),
        ("unix:run", None),
        ("inet:/run", None),
        ("a:b", None),
        ("a:0", None),
        ("a:65536", None),
        ("[::1", None),
        ("[::1]x", None),
    ],
)
def test_hosts(word: str, expected: Server | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"(was|were) expected"):
            parse_host(word, 5, lambda path, port: f"{path}|{port}")
        return
    found = parse_host(word, 5, lambda path, port: f"{path}|{port}")
    assert (found.host, found.port, found.path) == (expected.host, expected.port, expected.path)


# --- the table in a process


def test_what_the_process_must_be_able_to_reach(tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    path.write_text("hosts = 127.0.0.1:99 unix:/run/x\nquery = SELECT 1\ndbname = x\n")
    table = STANDARD.open(f"pgsql:{path}")
    assert table.reach() == Reach()
    table.preload()
    assert table.reach() == Reach(frozenset({99}))
    assert STANDARD.open(f"unionmap:{{static:x, proxy:pgsql:{path}}}").reach() == Reach()
    path.write_text("server_host = ldaps://a.example ldapi://%2Frun%2Fx\n")
    table = STANDARD.open(f"ldap:{path}")
    table.preload()
    assert table.reach() == Reach(frozenset({636}), names=True)


def test_a_change_that_needs_other_servers_asks_for_a_new_process(tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    now = [0.0]
    denied: list[str] = []
    path.write_text("hosts = 127.0.0.1:99\nquery = SELECT 1\ndbname = x\ndomain = x.org\n")
    table = STANDARD.open(f"pgsql:{path}", Options(clock=lambda: now[0], denied=denied.append))
    assert table.get("a") is None
    path.write_text("hosts = 127.0.0.1:99\nquery = SELECT 2\ndbname = x\ndomain = y.org\n")
    now[0] += 2
    assert table.get("a") is None  # read again, where it is
    assert denied == []
    path.write_text("hosts = 127.0.0.1:98\nquery = SELECT 2\ndbname = x\ndomain = y.org\n")
    os.utime(path, (1, 1))
    now[0] += 2
    for _ in range(2):
        with pytest.raises(TableChanged):
            table.get("a")
    assert denied == [str(path)]


def test_nobody_waits_where_waiting_is_not_allowed(tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    path.write_text("hosts = 127.0.0.1:1\nquery = SELECT '%d'\ndbname = x\n")
    table = STANDARD.open(f"pgsql:{path}")
    assert table.get("plain") is None
    assert table.get("a\udcff@x.org") is None
    with pytest.raises(WouldBlock):
        table.get("a@x.org")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_password_that_everybody_may_read_is_warned_of(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "t.cf"
    path.write_text("hosts = 127.0.0.1\nquery = SELECT 1\ndbname = x\npassword = x\n")
    path.chmod(mode)
    with log.capture() as lines:
        STANDARD.open(f"pgsql:{path}").preload()
    assert any("everybody may read it" in line for line in lines) == (mode == 0o644)


def test_a_mistake_in_a_line_does_not_show_what_may_be_a_password(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whitespace") as failed:
        parse_settings(b"  password = secret\nhosts = h\n", "t.cf", ("password", "hosts"))
    assert "secret" not in str(failed.value)
