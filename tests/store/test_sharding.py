"""The tables spread over the nodes of a database that is distributed by `account`, as Citus does it.

Debian has no such engine.  What it demands is proved with PostgreSQL's own partitions: every table is split into parts
by `account`, which PostgreSQL does only where each key has that column; the stores' suites run over them; and of each
statement that they send the planner tells which parts it looks into, with the values it had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pg8000.native
import pytest

from pillarbox.lib.store.sql import connection, schema
from pillarbox.lib.store.sql.connection import SCHEMA, Connection, dollars
from pillarbox.lib.store.sql.database import Database
from tests.peers.databases import PostgreSQL
from tests.store.conftest import close_pools, sql_database, use_postgresql
from tests.store.test_conformance import *  # noqa: F403
from tests.store.test_deliver import *  # noqa: F403
from tests.store.test_domain_quota import *  # noqa: F403
from tests.store.test_keeping import *  # noqa: F403
from tests.store.test_notes import *  # noqa: F403
from tests.store.test_sql import *  # noqa: F403
from tests.store.test_url_keys import *  # noqa: F403

DATABASE = "shards"
PARTS = 8
Sent: TypeAlias = "tuple[str, tuple[Any, ...]]"
_TABLE = re.compile(r"CREATE TABLE (\w+)")
# The account is a value, or that of the rows of one account.
_INSERT = re.compile(
    r"INSERT INTO (\w+)(?: \(account\b[^)]*\))? (?:VALUES \(\$1,|SELECT account,.* FROM \w+ WHERE account = \$1\b)"
)
_OF_A_DOMAIN = "right(account, length($1)) = $1"
"""In the statements that count when a domain gets a quota, as the documentation says."""
_OF_ALL = frozenset({"schema_version"})
"""Tables that are the same on every node."""


class Shards:
    """The database, and what is known of the statements that it was sent."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        server.execute(f"CREATE DATABASE {DATABASE}")
        self._connection = pg8000.native.Connection(
            server.user, unix_sock=str(server.socket), password=server.password, database=DATABASE
        )
        self.tables: set[str] = set()
        self.run(f"CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}; SET plan_cache_mode = force_custom_plan")
        for step in range(schema.VERSION):
            for statement in schema.statements(step, account="TEXT", binary="BYTEA", shared=True):
                self._split(statement)
        self.run(
            f"CREATE TABLE schema_version (version INTEGER NOT NULL); INSERT INTO schema_version VALUES ({step + 1})"
        )
        self._seen: set[str] = set()

    def run(self, statement: str) -> list[Any]:
        return self._connection.execute_simple(statement).rows or []

    def _split(self, statement: str) -> None:
        made = _TABLE.match(statement)
        if made is None:
            self.run(statement)
            return
        table = made[1]
        self.tables.add(table)
        self.run(f"{statement} PARTITION BY HASH (account)")
        for part in range(PARTS):
            self.run(
                f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
            )

    def concerned(self, statement: str) -> bool:
        """Whether it is about a table at all."""
        return not self.tables.isdisjoint(re.findall(r"\w+", statement))

    def parts(self, statement: str, values: tuple[Any, ...]) -> set[str]:
        """The numbers of the parts that a statement looks into or writes to; "all" where the planner cannot tell."""
        inserted = _INSERT.match(statement)
        self.run("DEALLOCATE ALL")
        self.run(f"PREPARE it AS {statement}")
        literals = ", ".join("'" + each.replace("'", "''") + "'" for each in map(connection._text, values))
        ((plan,),) = self.run(f"EXPLAIN (FORMAT JSON) EXECUTE it{f'({literals})' if values else ''}")
        found = set()

        def look(node: dict[str, Any]) -> None:
            for below in node.get("Plans", []):
                look(below)
            name = node.get("Relation Name")
            if name is None:
                return
            table, _, part = name.rpartition("_")
            if table in self.tables and part.isdigit():
                found.add(part)
            elif node["Node Type"] == "ModifyTable" and node["Operation"] == "Insert":
                # Where to is decided by the value of the column, row by row.
                found.add(self._part(values[0]) if inserted and inserted[1] == name else "all")
            elif node["Node Type"] != "ModifyTable":  # which has the parts below it
                found.add("all" if name in self.tables else f"table {name}")

        look((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
        return found

    def _part(self, account: Any) -> str:
        literal = "'" + str(account).replace("'", "''") + "'"
        conditions = [
            f"satisfies_hash_partition('{SCHEMA}.accounts'::regclass, {PARTS}, {part}, {literal}::text)"
            for part in range(PARTS)
        ]
        (row,) = self.run(f"SELECT {', '.join(conditions)}")
        return str(list(row).index(True))

    def check(self, sent: list[Sent]) -> None:
        """Each statement stays in one part.  Raises AssertionError naming the one that does not."""
        for statement, values in sent:
            if statement not in self._seen and _OF_A_DOMAIN not in statement:
                assert len(self.parts(statement, values)) <= 1, statement
                self._seen.add(statement)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def shards(postgresql: PostgreSQL) -> Iterator[Shards]:
    made = Shards(postgresql)
    yield made
    made.close()
    postgresql.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def sent(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sent]]:
    """What was sent with values; all of it is looked at in the end."""
    found: list[Sent] = []
    known: set[str] = set()
    plain: set[str] = set()
    query, simple = Connection.query, Connection.simple

    def noting_query(self: Connection, statement: str, values: tuple[Any, ...]) -> Any:
        done = query(self, statement, values)
        if statement not in known:
            known.add(statement)
            found.append((dollars(statement), values))
        return done

    def noting_simple(self: Connection, statements: str) -> Any:
        done = simple(self, statements)
        plain.add(statements)
        return done

    monkeypatch.setattr(Connection, "query", noting_query)
    monkeypatch.setattr(Connection, "simple", noting_simple)
    yield found
    close_pools()
    shards.check(found)
    shards.check([(each, ()) for statement in plain for each in statement.split(";") if shards.concerned(each)])


@pytest.fixture
def kind(postgresql: PostgreSQL, sent: object) -> str:
    """For the suites."""
    use_postgresql(postgresql, database=DATABASE)
    return "pgsql"


@pytest.fixture
def letters(kind: str) -> str:
    """For quotas of domains."""
    return "p"


@pytest.fixture
def database(kind: str, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """For that of stores in databases."""
    yield lambda: sql_database(kind, tmp_path)


def test_every_key_begins_with_the_account(shards: Shards) -> None:
    keys = shards.run(
        "SELECT c.relname, i.relname, a.attname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid"
        " JOIN pg_class i ON i.oid = x.indexrelid"
        " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]"
        f" WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind = 'p'"
    )
    assert {table for table, _, _ in keys} == shards.tables, "each has one"
    assert {column for _, _, column in keys} == {"account"}, keys
    assert shards.tables >= {"accounts", "mailboxes", "messages", "bodies", "pieces", "totals"}
    others = shards.run(f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename !~ '_[0-9]$'")
    assert {name for (name,) in others} == shards.tables | _OF_ALL
    # What would need one place for all: sequences, foreign keys, triggers, functions.
    assert shards.run(f"SELECT 1 FROM pg_sequences WHERE schemaname = '{SCHEMA}'") == []
    assert shards.run("SELECT conname FROM pg_constraint WHERE contype IN ('f', 't', 'x')") == []
    assert shards.run(f"SELECT proname FROM pg_proc WHERE pronamespace = '{SCHEMA}'::regnamespace") == []


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("SELECT count(*) FROM messages", ()),
        ("SELECT 1 FROM messages WHERE mailbox = $1", (1,)),
        ("SELECT 1 FROM messages m JOIN bodies b ON b.body = m.body WHERE m.account = $1", ("ann",)),
        ("SELECT 1 FROM accounts WHERE account IN ($1, $2, $3, $4, $5)", tuple("abcde")),
        ("DELETE FROM pieces WHERE body = $1", (1,)),
        (
            "SELECT EXISTS (SELECT 1 FROM totals WHERE account = $2) FROM accounts WHERE account = $1 FOR UPDATE",
            ("bob@example.com", "@example.com"),
        ),
        ("UPDATE mailboxes SET size = 0 WHERE account <> $1", ("ann",)),
        ("INSERT INTO subscriptions (account, name) SELECT name, name FROM mailboxes WHERE account = $1", ("ann",)),
    ],
)
def test_what_concerns_several_accounts_would_be_found(shards: Shards, statement: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(AssertionError):
        shards.check([(statement, values)])


def test_an_account_lies_in_one_part(kind: str, tmp_path: Path, shards: Shards) -> None:
    store = SqlStore("pgsql:", sql_database(kind, tmp_path))  # noqa: F405
    store.append("INBOX", [b"x" * 1_000_000])
    held = [
        {part for part in range(PARTS) if shards.run(f"SELECT 1 FROM {table}_{part} WHERE account = '{tmp_path}'")}
        for table in ("accounts", "mailboxes", "messages", "bodies", "pieces")
    ]
    assert len(held[0]) == 1 and all(parts == held[0] for parts in held)


def test_what_is_sent_is_looked_at(kind: str, tmp_path: Path, shards: Shards, sent: list[Sent]) -> None:
    SqlStore("pgsql:", sql_database(kind, tmp_path)).append("INBOX", [b"x"])  # noqa: F405
    assert any(statement.startswith("INSERT INTO messages ") for statement, _ in sent)
