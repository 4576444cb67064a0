"""`sqlite:` tables, by themselves and beside Postfix's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table, TableChanged
from pillarbox.lib.tables.blocking import waiting_allowed
from tests.tables.foreign import Postmap, settle

ALIASES = {
    "ann@x.example": "ann@home.example",
    "o'neil@x.example": "quoted",
    "ü@x.example": "umlaut",
    "100%@x.example": "percent",
}
QUERY = "SELECT goto FROM alias WHERE address = '%s'"

Make = Callable[..., Table]


@pytest.fixture(autouse=True)
def may_wait() -> Iterator[None]:
    with waiting_allowed():
        yield


def database(path: Path, entries: dict[str, str], mode: str = "delete") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE alias (address TEXT, goto TEXT, number INTEGER)")
    connection.executemany("INSERT INTO alias VALUES (?, ?, 7)", entries.items())
    return connection


@pytest.fixture
def make(tmp_path: Path) -> Make:
    database(tmp_path / "db", ALIASES).close()

    def make(options: Options | None = None, **said: object) -> Table:
        said = {"dbpath": tmp_path / "db", **({} if "table" in said else {"query": QUERY}), **said}
        (tmp_path / "sqlite.cf").write_text("".join(f"{name} = {value}\n" for name, value in said.items()))
        settle(tmp_path / "sqlite.cf")
        return STANDARD.open(f"sqlite:{tmp_path}/sqlite.cf", options)

    return make


def failure(table: Table, key: str = "ann@x.example") -> str:
    with log.capture(), pytest.raises(LookupFailed) as failed:
        table.get(key)
    return failed.value.reason


SHAPES: list[dict[str, str]] = [
    {},
    {"query": "SELECT goto FROM alias WHERE address = '%u@%d'"},
    {"query": "SELECT goto, number FROM alias WHERE address = '%s'"},
    {"query": "SELECT number FROM alias WHERE address LIKE '%%@%d'", "result_format": "<%s %U>"},
    {"query": "SELECT goto FROM alias WHERE address LIKE '%%.%1'"},
    {"query": "SELECT NULL FROM alias WHERE address = '%s'"},
    {"query": "SELECT '' FROM alias WHERE address = '%s'"},
    {"domain": "x.example, other.example"},
    {"domain": "other.example"},
    {"table": "alias", "select_field": "goto", "where_field": "address"},
    {
        "table": "alias",
        "select_field": "goto",
        "where_field": "address",
        "additional_conditions": "AND number = 8",
    },
    {"query": "SELECT goto FROM alias ORDER BY address", "result_format": "%u"},
    {"query": "SELECT goto FROM alias ORDER BY address", "expansion_limit": "3"},
]
KEYS = [*ALIASES, "ANN@X.example", "nobody@x.example", "ann", "@x.example", "ann@", "x' OR '1'='1"]


@pytest.mark.parametrize("said", SHAPES, ids=lambda said: ",".join(said.values()) or "plain")
def test_both_find_the_same(make: Make, tmp_path: Path, postmap: Postmap, said: dict[str, str]) -> None:
    table = make(**said)
    ours: dict[str, str | None] = {}
    with log.capture():
        for key in KEYS:
            try:
                ours[key] = table.get(key)
            except LookupFailed:
                ours[key] = "fails"
    theirs: dict[str, str | None] = dict.fromkeys(KEYS)
    status, output = postmap("-q", "-", f"sqlite:{tmp_path}/sqlite.cf", text="".join(f"{key}\n" for key in KEYS))
    if "query error" in output:
        assert set(ours.values()) == {"fails"}
        return
    for line in output.splitlines():
        key, tab, value = line.partition("\t")
        if tab:
            theirs[key] = value
    assert ours == theirs
    assert status == (0 if any(theirs.values()) else 1)


@given(key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_key_is_anything_but_a_key(make: Make, tmp_path: Path, key: str) -> None:
    (tmp_path / "db").unlink()
    database(tmp_path / "db", {key: "here"}).close()
    table = make(Options(fold=False))
    assert table.get(key) == "here"
    assert table.get(key + "'") is None


def test_what_others_write_is_seen_at_once(make: Make, tmp_path: Path) -> None:
    table = make()
    assert table.get("new@x.example") is None
    with sqlite3.connect(tmp_path / "db") as writer:
        writer.execute("INSERT INTO alias VALUES ('new@x.example', 'there', 1)")
    assert table.get("new@x.example") == "there"
    writer.close()


def test_a_write_ahead_log_is_read(make: Make, tmp_path: Path) -> None:
    (tmp_path / "db").unlink()
    writer = database(tmp_path / "db", {"a": "1"}, "wal")
    table = make()
    assert table.get("a") == "1"
    writer.execute("UPDATE alias SET goto = '2'")
    assert table.get("a") == "2"
    writer.close()
    assert table.get("a") == "2"


def test_a_database_that_is_replaced_is_opened_again(make: Make, tmp_path: Path) -> None:
    table = make()
    assert table.get("ann@x.example") == "ann@home.example"
    database(tmp_path / "next", {"ann@x.example": "elsewhere"}).close()
    (tmp_path / "next").rename(tmp_path / "db")
    assert table.get("ann@x.example") == "elsewhere"
    (tmp_path / "db").unlink()
    assert "No such file" in failure(table)


def test_a_confined_process_asks_for_a_successor(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    denied: list[str] = []
    table = make(Options(denied=denied.append))
    assert table.get("ann@x.example")
    database(tmp_path / "next", {}).close()
    (tmp_path / "next").rename(tmp_path / "db")

    def refuse(*arguments: object, **more: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(TableChanged):
        table.get("ann@x.example")
    assert denied == [f"{tmp_path}/db"]


def test_nothing_can_be_written(make: Make) -> None:
    table = make(query="DELETE FROM alias WHERE address = '%s' RETURNING goto")
    assert "readonly" in failure(table)


def test_an_endless_query_is_ended(make: Make) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT '%s' UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    assert "no result within 1 s" in failure(make(query=endless, timeout=1))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"dbpath": ""}, "line 1: dbpath: a value was expected"),
        ({"dbpath": "/nonexistent/db"}, "line 1: dbpath: /nonexistent/db: No such file"),
        ({"query": "SELECT goto FROM nowhere WHERE x = '%s'"}, "no such table: nowhere"),
        ({"query": "SELECT goto FROM alias WHERE address = '%s"}, "line 2: query: ' was expected"),
        ({"query": "SELECT 1; SELECT 2"}, "one statement"),
        ({"qeury": "x"}, 'line 3: unknown setting "qeury"'),
    ],
)
def test_a_mistake_is_named(make: Make, said: dict[str, str], expected: str) -> None:
    assert expected in failure(make(**said))


def test_a_file_that_is_no_database_fails(make: Make, tmp_path: Path) -> None:
    (tmp_path / "db").write_text("this is no database, only text of some length\n" * 100)
    assert "line 1: dbpath: " in failure(make())


def test_the_files_that_are_read(make: Make, tmp_path: Path) -> None:
    table = make()
    table.preload()
    assert {f"{tmp_path}/sqlite.cf", f"{tmp_path}/db", f"{tmp_path}/db-wal"} <= set(table.files())
