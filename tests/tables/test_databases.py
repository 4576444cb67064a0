"""`pgsql:`, `mysql:` and `ldap:` with the real servers: what is found, what is refused, and what a dead server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table
from pillarbox.lib.tables.blocking import waiting_allowed
from tests.lab.certificates import Authority, Certificate
from tests.peers.databases import MariaDB, OpenLDAP, PostgreSQL

ALIASES = {
    "info@example.org": ["ann@example.org", "bob@example.org"],
    "o'neil\\@example.org": ["quoted@example.org"],
    "ünï@exämple.org": ["gré@example.org"],
    "plain": ["local"],
    "empty@example.org": ["", "x@example.org"],
}

ENTRIES = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: A
mail: ann@example.org
mail: info@example.org
description: ann@home.example

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob (the *)
sn: B
mail: bob@example.org
mail: info@example.org
description: bob@home.example
description: bob@work.example

dn: cn=staff,dc=example,dc=org
objectClass: groupOfNames
objectClass: extensibleObject
cn: staff
mail: staff@example.org
description: the-list@example.org
member: uid=ann,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org
member: uid=gone,ou=people,dc=example,dc=org

dn: cn=everybody,dc=example,dc=org
objectClass: groupOfURLs
objectClass: extensibleObject
cn: everybody
mail: everybody@example.org
memberURL: ldap:///ou=people,dc=example,dc=org?description?sub?(objectClass=inetOrgPerson)

dn: cn=loop,dc=example,dc=org
objectClass: groupOfNames
objectClass: extensibleObject
cn: loop
mail: loop@example.org
member: cn=loop,dc=example,dc=org
member: uid=ann,ou=people,dc=example,dc=org
"""

Make = Callable[..., Table]


def _make(kind: str, common: str, directory: Path) -> Make:
    number = iter(range(10_000))

    def make(text: str, **options: object) -> Table:
        path = directory / f"{next(number)}.cf"
        path.write_text(common + text + "\n")
        path.chmod(0o600)
        return STANDARD.open(f"{kind}:{path}", Options(**options))  # type: ignore[arg-type]

    return make


def ask(table: Table, key: str) -> str | None:
    with waiting_allowed():
        return table.get(key)


class Sql:
    """One SQL server and what differs between the two."""

    def __init__(self, kind: str, server: PostgreSQL | MariaDB, directory: Path) -> None:
        self.kind, self.server = kind, server
        database = "postgres" if kind == "pgsql" else "mail"
        self.common = f"user = {server.user}\npassword = {server.password}\ndbname = {database}\n"
        self.tcp = f"hosts = {server.address}:{server.port}\n"
        place = f"{server.directory}:{server.port}" if kind == "pgsql" else str(server.socket)
        self.unix = f"hosts = unix:{place}\n"
        self.make = _make(kind, self.common, directory)
        server.execute("CREATE TABLE alias (address varchar(200), goto varchar(200), number int)")
        for address, targets in ALIASES.items():
            for target in targets:
                text = address.replace("'", "''").replace("\\", "\\\\" if kind == "mysql" else "\\")
                server.execute(f"INSERT INTO alias VALUES ('{text}', '{target}', 7)")
        server.execute("INSERT INTO alias VALUES ('null@example.org', NULL, 1)")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("db.example.org", "127.0.0.1")


@pytest.fixture(scope="module")
def postgresql(certificate: Certificate) -> Iterator[PostgreSQL]:
    with PostgreSQL(certificate) as server:
        yield server


@pytest.fixture(scope="module")
def mariadb(certificate: Certificate) -> Iterator[MariaDB]:
    with MariaDB(certificate) as server:
        yield server


@pytest.fixture(scope="module")
def pgsql(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Sql:
    return Sql("pgsql", postgresql, tmp_path_factory.mktemp("pgsql"))


@pytest.fixture(scope="module")
def mysql(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Sql:
    return Sql("mysql", mariadb, tmp_path_factory.mktemp("mysql"))


@pytest.fixture(params=["pgsql", "mysql"])
def sql(request: pytest.FixtureRequest) -> Sql:
    found: Sql = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def openldap(certificate: Certificate) -> Iterator[OpenLDAP]:
    with OpenLDAP(ENTRIES, certificate) as server:
        yield server


@pytest.fixture(scope="module")
def ldap(openldap: OpenLDAP, tmp_path_factory: pytest.TempPathFactory) -> Make:
    common = (
        f"server_host = ldap://{openldap.address}:{openldap.port}\nsearch_base = {openldap.base}\n"
        f"bind_dn = {openldap.user}\nbind_pw = {openldap.password}\n"
    )
    return _make("ldap", common, tmp_path_factory.mktemp("ldap"))


QUERY = "query = SELECT goto FROM alias WHERE address = '%s' ORDER BY goto\n"


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_sql_keys_are_found_or_not_found(sql: Sql, way: str) -> None:
    table = sql.make(getattr(sql, way) + QUERY)
    assert ask(table, "info@example.org") == "ann@example.org,bob@example.org"
    assert ask(table, "INFO@Example.Org") == "ann@example.org,bob@example.org"  # keys are folded
    assert ask(table, "ünï@exämple.org") == "gré@example.org"
    assert ask(table, "nobody@example.org") is None
    assert ask(table, "null@example.org") is None
    assert ask(table, "empty@example.org") == "x@example.org"
    assert ask(table, "") is None


def test_sql_a_key_cannot_leave_its_literal(sql: Sql) -> None:
    table = sql.make(sql.unix + QUERY)
    assert ask(table, "o'neil\\@example.org") == "quoted@example.org"
    for key in ("' OR '1'='1", "\\' OR 1=1 -- ", "'; DROP TABLE alias; --", "\\", "'", '"', "%", "x\0' OR 1=1 -- "):
        assert ask(table, key) is None
    assert ask(table, "plain") == "local"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(st.one_of(st.sampled_from("'\"\\%_;-#/*$ \n\x1aéß\u5b57"), st.characters(codec="utf-8")), max_size=20)
)
def test_sql_whatever_the_key_is_the_server_gets_it_as_it_is(pgsql: Sql, mysql: Sql, key: str) -> None:
    for sql, tables in ((pgsql, _echoes), (mysql, _echoes)):
        table = tables.get(sql.kind) or tables.setdefault(sql.kind, sql.make(sql.unix + _ECHO, fold=False))
        expected = None if not key or "\0" in key else f"<{key}>"
        assert ask(table, key) == expected


_ECHO = "query = SELECT '%s'\nresult_format = <%s>\n"
_echoes: dict[str, Table] = {}


def test_sql_parts_of_the_key_and_of_the_result(sql: Sql) -> None:
    table = sql.make(
        sql.unix + "query = SELECT goto FROM alias WHERE address = '%u@%d' AND '%2.%1' = 'example.org'\n"
        "result_format = smtp:[%d]/%u?%U=%S\n"
    )
    assert ask(table, "plain") is None
    assert ask(table, "@example.org") is None
    assert ask(table, "info@example.org") == (
        "smtp:[example.org]/ann?info=info@example.org,smtp:[example.org]/bob?info=info@example.org"
    ) or ask(table, "info@example.org") == (
        "smtp:[example.org]/bob?info=info@example.org,smtp:[example.org]/ann?info=info@example.org"
    )


def test_sql_numbers_and_unquoted_slots(sql: Sql) -> None:
    table = sql.make(sql.unix + "query = SELECT number, goto FROM alias WHERE number = %s AND goto = 'local'\n")
    assert ask(table, "7") == "7,local"
    table = sql.make(sql.unix + "table = alias\nselect_field = goto\nwhere_field = address\n")
    assert ask(table, "plain") == "local"


def test_sql_too_many_values_are_no_answer(sql: Sql) -> None:
    table = sql.make(sql.unix + QUERY + "expansion_limit = 1\n")
    with pytest.raises(LookupFailed, match=r"Expansion limit exceeded for key: 'info@example\.org'"):
        ask(table, "info@example.org")
    assert ask(table, "plain") == "local"


def test_sql_domain_keeps_other_keys_from_the_server(sql: Sql, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("# ours\nexample.net other.example\n")
    domain = f"domain = !sub.example.org, example.org, inline:{{table.example=x}}, {tmp_path}/names\n"
    table = sql.make(sql.unix + "query = SELECT 'asked'\n" + domain)
    for key in ("a@example.org", "a@EXAMPLE.net", "a@table.example"):
        assert ask(table, key) == "asked"
    for key in ("a@sub.example.org", "a@example.com", "plain", "example.org", "a@"):
        assert table.get(key) is None  # without a wait: nobody is asked


def test_sql_a_wrong_query_is_a_temporary_error_that_keeps_the_connection(sql: Sql) -> None:
    table = sql.make(sql.unix + "query = SELECT nothing FROM nowhere WHERE a = '%s'\n")
    for _ in range(2):
        with pytest.raises(LookupFailed, match=f"{sql.kind} query failed: .*nowhere"):
            ask(table, "a")


def test_sql_a_wrong_password_is_a_temporary_error(sql: Sql, tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    path.write_text(sql.common.replace("password = ", "password = x") + sql.tcp + QUERY)
    with pytest.raises(LookupFailed, match=rf"connect to {sql.kind} server .*(password|Access denied)"):
        ask(STANDARD.open(f"{sql.kind}:{path}"), "a")


def test_sql_a_server_that_was_started_anew_is_asked_as_if_nothing_had_been(sql: Sql) -> None:
    table = sql.make(sql.tcp + QUERY)
    assert ask(table, "plain") == "local"
    sql.server.stop()
    sql.server.start()
    assert ask(table, "plain") == "local"


def test_sql_a_dead_server_is_a_temporary_error_and_another_one_answers(sql: Sql) -> None:
    table = sql.make("hosts = 127.0.0.1:1\n" + QUERY)
    with pytest.raises(LookupFailed, match=rf"connect to {sql.kind} server 127\.0\.0\.1:1: .*refused"):
        ask(table, "plain")
    table = sql.make(f"hosts = 127.0.0.1:1 {sql.tcp.partition('= ')[2]}" + QUERY)
    assert [ask(table, "plain") for _ in range(4)] == ["local"] * 4


def test_sql_a_server_that_says_nothing_is_a_temporary_error_once_its_time_is_over(sql: Sql) -> None:
    table = sql.make(sql.tcp + QUERY + "timeout = 1\n")
    assert ask(table, "plain") == "local"
    with sql.server.frozen():
        with pytest.raises(LookupFailed, match=r"timed out|no answer within"):
            ask(table, "plain")
        with pytest.raises(LookupFailed):
            ask(table, "plain")


def test_mysql_stored_procedures_and_missing_result_sets(mysql: Sql) -> None:
    mysql.server.execute(
        "CREATE PROCEDURE find(IN wanted VARCHAR(200)) SELECT goto FROM alias WHERE address = wanted",
        "CREATE PROCEDURE nothing(IN wanted VARCHAR(200)) SET @x = wanted",
        "CREATE PROCEDURE twice(IN wanted VARCHAR(200)) BEGIN SELECT 1; SELECT 2; END",
    )
    assert ask(mysql.make(mysql.unix + "query = CALL find('%s')\n"), "plain") == "local"
    with pytest.raises(LookupFailed, match="no result set"):
        ask(mysql.make(mysql.unix + "query = CALL nothing('%s')\n"), "plain")
    assert ask(mysql.make(mysql.unix + "query = CALL nothing('%s')\nrequire_result_set = no\n"), "plain") is None
    with pytest.raises(LookupFailed, match="multiple result sets"):
        ask(mysql.make(mysql.unix + "query = CALL twice('%s')\n"), "plain")


def test_mysql_sql_modes_of_the_server_do_not_change_what_a_literal_is(mysql: Sql) -> None:
    mysql.server.execute("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
    try:
        table = mysql.make(
            mysql.unix + 'query = SELECT goto FROM alias WHERE address = "%s" AND "\\"" <> ""\ntimeout = 9\n'
        )
        assert ask(table, "plain") == "local"
        assert ask(table, "o'neil\\@example.org") == "quoted@example.org"
    finally:
        mysql.server.execute("SET GLOBAL sql_mode = ''")


def test_mysql_an_option_file_gives_what_the_table_does_not_say(mysql: Sql, tmp_path: Path) -> None:
    server = mysql.server
    (tmp_path / "my.cnf").write_text(
        f'[client]\nuser=wrong\n!includedir /nonexistent\n[mail]\nuser={server.user}\nsocket="{server.socket}"\n'
    )
    path = tmp_path / "t.cf"
    path.write_text(
        f"option_file = {tmp_path}/my.cnf\noption_group = mail\npassword = {server.password}\ndbname = mail\n{QUERY}"
    )
    assert ask(STANDARD.open(f"mysql:{path}"), "plain") == "local"


def test_pgsql_uris_and_functions(pgsql: Sql, tmp_path: Path) -> None:
    server = pgsql.server
    server.execute(
        "CREATE FUNCTION target(wanted text) RETURNS SETOF text LANGUAGE sql AS "
        "'SELECT goto::text FROM alias WHERE address = wanted'"
    )
    account = f"{server.user}:{quote(server.password, safe='')}"
    places = (
        f"@{server.address}:{server.port}/postgres?sslmode=disable",
        f"@/postgres?host={server.directory}&port={server.port}",
    )
    for place in places:
        path = tmp_path / "t.cf"
        path.write_text(f"hosts = postgresql://{account}{place}\nselect_function = target\n")
        assert ask(STANDARD.open(f"pgsql:{path}"), "plain") == "local"


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_pgsql_tls(pgsql: Sql, authority: Authority, tmp_path: Path, mode: str) -> None:
    server = pgsql.server
    account = f"{server.user}:{quote(server.password, safe='')}@{server.address}:{server.port}/postgres"
    query = "query = SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND '%s' <> ''\n"
    path = tmp_path / "t.cf"
    root = f"&sslrootcert={authority.certificate}" if mode.startswith("verify") else ""
    path.write_text(f"hosts = postgresql://{account}?sslmode={mode}{root}\n{query}")
    assert ask(STANDARD.open(f"pgsql:{path}"), "x") == "t"
    if root:
        path.write_text(f"hosts = postgresql://{account}?sslmode={mode}\n{query}")
        with pytest.raises(LookupFailed, match="certificate verify failed"):
            ask(STANDARD.open(f"pgsql:{path}"), "x")


@pytest.mark.parametrize(
    ("settings", "encrypted"),
    [
        ("", True),
        ("tls_CAfile = {ca}\n", True),
        ("tls_CAfile = {ca}\ntls_verify_cert = yes\n", True),
        ("tls_verify_cert = yes\n", False),
    ],
)
def test_mysql_tls(mysql: Sql, authority: Authority, settings: str, encrypted: bool) -> None:
    query = (
        "query = SELECT VARIABLE_VALUE <> '' FROM information_schema.session_status WHERE VARIABLE_NAME='Ssl_cipher'\n"
    )
    table = mysql.make(mysql.tcp + query + settings.format(ca=authority.certificate))
    if encrypted:
        assert ask(table, "x") == "1"
    else:
        with pytest.raises(LookupFailed, match="certificate verify failed"):
            ask(table, "x")


@pytest.mark.parametrize("way", ["ldaps", "start_tls"])
def test_ldap_tls(openldap: OpenLDAP, authority: Authority, tmp_path: Path, way: str) -> None:
    place = f"ldaps://127.0.0.1:{openldap.tls_port}" if way == "ldaps" else f"127.0.0.1:{openldap.port}"
    path = tmp_path / "t.cf"
    common = (
        f"server_host = {place}\nsearch_base = {openldap.base}\nquery_filter = (mail=%s)\nresult_attribute = uid\n"
        f"version = 3\nstart_tls = {'no' if way == 'ldaps' else 'yes'}\n"
    )
    for more in ("", f"tls_require_cert = yes\ntls_ca_cert_file = {authority.certificate}\n"):
        path.write_text(common + more)
        assert ask(STANDARD.open(f"ldap:{path}"), "bob@example.org") == "bob"
    path.write_text(common + "tls_require_cert = yes\n")
    with pytest.raises(LookupFailed, match="certificate verify failed"):
        ask(STANDARD.open(f"ldap:{path}"), "bob@example.org")


def test_pgsql_booleans_and_times_are_as_the_server_writes_them(pgsql: Sql) -> None:
    table = pgsql.make(pgsql.unix + "query = SELECT true, DATE '2026-01-02', 1.50, '%s'::inet\n")
    assert ask(table, "10.0.0.1") == "t,2026-01-02,1.50,10.0.0.1"
    with pytest.raises(LookupFailed, match="invalid input syntax for type inet"):
        ask(table, "no address")


def test_ldap_values_of_all_entries_and_attributes(ldap: Make) -> None:
    table = ldap("query_filter = (mail=%s)\nresult_attribute = description\n")
    assert ask(table, "ann@example.org") == "ann@home.example"
    assert ask(table, "INFO@example.org") == "ann@home.example,bob@home.example,bob@work.example"
    assert ask(table, "nobody@example.org") is None


def test_ldap_a_key_cannot_widen_a_search(ldap: Make) -> None:
    table = ldap("query_filter = mail=%s\nresult_attribute = description\n")
    for key in ("*", "*)(objectClass=*", "x)(|(mail=*", "\\2a", "(", "\0"):
        assert ask(table, key) is None
    table = ldap("query_filter = (cn=%s)\nresult_attribute = uid\n")
    assert ask(table, "bob (the *)") == "bob"


def test_ldap_a_base_made_of_the_key(ldap: Make) -> None:
    table = ldap(
        "query_filter = (uid=%u)\nresult_attribute = description\nscope = one\nsearch_base = ou=people,dc=%2,dc=%1\n"
    )
    assert ask(table, "ann@example.org") == "ann@home.example"
    assert ask(table, "ann@example.com") is None  # the base does not exist: not found
    assert ask(table, "ann") is None
    assert ask(table, "ann@x,dc=example.org") is None
    table = ldap("query_filter = (mail=%s)\nsearch_base = dc=missing\n")
    with pytest.raises(LookupFailed, match="Search base 'dc=missing' not found"):
        ask(table, "ann@example.org")


def test_ldap_groups_are_followed_by_name_and_by_url(ldap: Make) -> None:
    common = "query_filter = (mail=%s)\nspecial_result_attribute = member memberURL\n"
    table = ldap(common + "leaf_result_attribute = description\nresult_attribute = uid\n")
    assert ask(table, "staff@example.org") == "ann,ann@home.example,bob,bob@home.example,bob@work.example"
    assert ask(table, "everybody@example.org") == "ann@home.example,bob@home.example,bob@work.example"
    table = ldap(common + "terminal_result_attribute = description\nresult_attribute = uid\n")
    assert ask(table, "staff@example.org") == "the-list@example.org"
    table = ldap(common + "result_attribute = description\n")
    assert ask(table, "staff@example.org") == (
        "the-list@example.org,ann@home.example,bob@home.example,bob@work.example"
    )


def test_ldap_groups_that_contain_themselves_end_in_a_temporary_error(ldap: Make) -> None:
    common = "query_filter = (mail=%s)\nspecial_result_attribute = member\nresult_attribute = uid\n"
    with pytest.raises(LookupFailed, match="Recursion limit exceeded at cn=loop"):
        ask(ldap(common + "recursion_limit = 20\n"), "loop@example.org")


def test_ldap_limits_are_temporary_errors(ldap: Make) -> None:
    common = "query_filter = (mail=%s)\nresult_attribute = description\n"
    with pytest.raises(LookupFailed, match=r"Query size limit \(1\) exceeded"):
        ask(ldap(common + "size_limit = 1\n"), "info@example.org")
    with pytest.raises(LookupFailed, match="Expansion limit exceeded"):
        ask(ldap(common + "expansion_limit = 2\nsize_limit = 10\n"), "info@example.org")
    assert ask(ldap(common + "expansion_limit = 1\n"), "ann@example.org") == "ann@home.example"


def test_ldap_by_socket_without_a_name(openldap: OpenLDAP, tmp_path: Path) -> None:
    place = str(openldap.socket).replace("/", "%2F")
    path = tmp_path / "t.cf"
    common = f"server_host = ldapi://{place}/\nsearch_base = {openldap.base}\n"
    common += "query_filter = (mail=%s)\nresult_attribute = uid\n"
    for bind in ("bind = no\n", "", "bind = sasl\nsasl_mechs = external\n"):
        path.write_text(common + bind)
        assert ask(STANDARD.open(f"ldap:{path}"), "bob@example.org") == "bob"


def test_ldap_a_wrong_password_and_a_dead_server_are_temporary_errors(openldap: OpenLDAP, tmp_path: Path) -> None:
    path = tmp_path / "t.cf"
    path.write_text(
        f"server_host = {openldap.address}\nserver_port = {openldap.port}\nbind_dn = {openldap.user}\nbind_pw = x\n"
    )
    with pytest.raises(LookupFailed, match=r"bind to ldap server .*invalidCredentials"):
        ask(STANDARD.open(f"ldap:{path}"), "a")
    path.write_text("server_host = 127.0.0.1:1\n")
    with pytest.raises(LookupFailed, match=r"connect to ldap server 127\.0\.0\.1:1"):
        ask(STANDARD.open(f"ldap:{path}"), "a")


def test_ldap_restart_and_silence(openldap: OpenLDAP, ldap: Make) -> None:
    table = ldap("query_filter = (mail=%s)\nresult_attribute = uid\ntimeout = 1\n")
    assert ask(table, "bob@example.org") == "bob"
    openldap.stop()
    openldap.start()
    assert ask(table, "bob@example.org") == "bob"
    with openldap.frozen(), pytest.raises(LookupFailed, match="ldap"):
        ask(table, "bob@example.org")


def test_many_threads_ask_one_table(sql: Sql, ldap: Make) -> None:
    tables = [sql.make(sql.tcp + _ECHO), ldap("query_filter = (mail=%s)\nresult_attribute = mail\n")]
    keys = [f"{number}@example.org" for number in range(200)]
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(lambda key: ask(tables[0], key), keys)) == [f"<{key}>" for key in keys]
        assert list(pool.map(lambda key: ask(tables[1], key), keys)) == [None] * len(keys)


def test_connections_are_kept_and_shared_by_tables_of_one_account(sql: Sql) -> None:
    first, second = sql.make(sql.tcp + QUERY), sql.make(sql.tcp + QUERY.replace("goto FROM", "number FROM"))
    who = {"pgsql": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}[sql.kind]
    assert ask(first, "plain") == "local"
    numbers = {ask(sql.make(sql.tcp + f"query = SELECT {who}\n"), "x") for _ in range(5)}
    assert ask(second, "plain") == "7"
    assert len(numbers) == 1
