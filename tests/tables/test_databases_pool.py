"""Connections to database servers: kept, shared, closed when idle; servers that are down are left alone for a while."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.query_pool import (
    CONNECTIONS,
    Pool,
    QueryFailed,
    Server,
    ServerGone,
    ServerSilent,
    shared_pool,
)
from pillarbox.lib.tables.query_sql import POSTGRESQL, parse_sql
from pillarbox.lib.tables.query_table import TEXT_LIMIT
from pillarbox.lib.tables.types.pgsql import PostgresDriver, _connection_class

ONE, TWO, SOCKET = (
    Server("one", host="10.0.0.1", port=1),
    Server("two", host="two.test", port=2),
    Server("s", path="/s"),
)


class Farm:
    """Servers that can be told to be down, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.down: set[str] = set()
        self.opened: list[str] = []
        self.closed: list[str] = []

    def connect(self, server: Server) -> str:
        if server.name in self.down:
            raise ServerGone(f"connect to {server.name}: refused")
        self.opened.append(server.name)
        return f"{server.name}-{len(self.opened)}"

    def pool(self, *servers: Server, wait: float = 0.01) -> Pool[str]:
        return Pool(servers, self.connect, self.closed.append, idle=60, retry=30, wait=wait, clock=lambda: self.now)


@pytest.fixture
def farm() -> Farm:
    return Farm()


def fail(error: Exception) -> Callable[[str], str]:
    def work(connection: str) -> str:
        raise error

    return work


def test_a_connection_is_used_again(farm: Farm) -> None:
    pool = farm.pool(ONE)
    assert [pool.ask(str) for _ in range(3)] == ["one-1"] * 3
    assert farm.closed == []


def test_sockets_come_first_and_a_server_that_is_down_is_passed_over(farm: Farm) -> None:
    assert farm.pool(ONE, SOCKET).ask(str) == "s-1"
    farm.down = {"one"}
    assert farm.pool(ONE, TWO).ask(str) == "two-2"


def test_a_server_that_is_down_is_not_tried_again_before_its_time(farm: Farm) -> None:
    pool = farm.pool(ONE)
    farm.down = {"one"}
    with pytest.raises(ServerGone, match="connect to one: refused"):
        pool.ask(str)
    farm.down = set()
    farm.now += 29
    with pytest.raises(ServerGone, match="connect to one: refused"):
        pool.ask(str)
    assert farm.opened == []
    farm.now += 1
    assert pool.ask(str) == "one-1"


def test_a_failure_is_logged_once(farm: Farm) -> None:
    pool = farm.pool(ONE)
    farm.down = {"one"}
    with log.capture() as lines:
        for _ in range(5):
            with pytest.raises(ServerGone):
                pool.ask(str)
            farm.now += 30
    assert lines == ["warning: connect to one: refused -- not tried again for 30 seconds"]


def test_while_one_look_up_tries_the_others_do_not_wait(farm: Farm) -> None:
    pool = farm.pool(ONE)
    farm.down = {"one"}
    with pytest.raises(ServerGone):
        pool.ask(str)
    farm.now += 30
    trying, go_on = threading.Event(), threading.Event()
    farm.down = set()
    connect = farm.connect

    def slow(server: Server) -> str:
        trying.set()
        go_on.wait(30)
        return connect(server)

    pool._connect = slow
    thread = threading.Thread(target=pool.ask, args=(str,))
    thread.start()
    trying.wait(30)
    with pytest.raises(ServerGone, match="refused"):
        pool.ask(str)
    go_on.set()
    thread.join()
    assert pool.ask(str) == "one-1"


def test_a_connection_that_died_unnoticed_is_replaced_and_so_are_its_like(farm: Farm) -> None:
    pool = farm.pool(ONE)
    inner = pool.ask(lambda first: pool.ask(str))
    assert inner == "one-2"
    assert pool.kept == 2

    def work(connection: str) -> str:
        if connection in ("one-1", "one-2"):
            raise ServerGone("connection reset")
        return connection

    assert pool.ask(work) == "one-3"
    assert sorted(farm.closed) == ["one-1", "one-2"]


def test_a_new_connection_that_breaks_off_means_that_the_server_is_down(farm: Farm) -> None:
    pool = farm.pool(ONE)
    with pytest.raises(ServerGone, match="broke off"):
        pool.ask(fail(ServerGone("broke off")))
    with pytest.raises(ServerGone, match="broke off"):
        pool.ask(str)
    assert farm.opened == ["one"]


def test_a_silent_server_is_down_at_once_and_nobody_waits_twice(farm: Farm) -> None:
    pool = farm.pool(ONE)
    pool.ask(str)
    with pytest.raises(ServerGone, match="no answer"):
        pool.ask(fail(ServerSilent("no answer")))
    assert farm.opened == ["one"]


def test_an_answer_that_is_no_result_keeps_the_connection(farm: Farm) -> None:
    pool = farm.pool(ONE)
    with pytest.raises(QueryFailed):
        pool.ask(fail(QueryFailed("syntax error")))
    assert pool.ask(str) == "one-1"


def test_whatever_else_goes_wrong_the_connection_is_given_up(farm: Farm) -> None:
    pool = farm.pool(ONE)
    with pytest.raises(RuntimeError):
        pool.ask(fail(RuntimeError("a fault of ours")))
    assert farm.closed == ["one-1"]
    assert pool.ask(str) == "one-2"


def test_idle_connections_are_closed(farm: Farm) -> None:
    pool = farm.pool(ONE)
    pool.ask(str)
    farm.now += 59
    pool.close_idle()
    assert pool.kept == 1
    farm.now += 1
    pool.close_idle()
    assert (pool.kept, farm.closed) == (0, ["one-1"])
    pool.ask(str)
    farm.now += 61
    assert pool.ask(str) == "one-3"  # too old, though nobody has closed it yet


def test_connections_have_a_ceiling(farm: Farm) -> None:
    pool = farm.pool(ONE)

    def nest(depth: int) -> str:
        return pool.ask(lambda connection: nest(depth - 1) if depth else refused(connection))

    def refused(connection: str) -> str:
        with pytest.raises(ServerGone, match="all 8 connections to one are in use"):
            pool.ask(str)
        return connection

    assert nest(CONNECTIONS - 1) == f"one-{CONNECTIONS}"
    assert pool.kept == CONNECTIONS


def test_a_pool_that_nobody_has_any_more_closes_its_connections(farm: Farm) -> None:
    pool = farm.pool(ONE)
    pool.ask(str)
    del pool
    gc.collect()
    assert farm.closed == ["one-1"]


def test_what_is_equal_shares_one_pool(farm: Farm) -> None:
    first = shared_pool(("k", 1), lambda: farm.pool(ONE))
    assert shared_pool(("k", 1), lambda: farm.pool(TWO)) is first
    assert shared_pool(("k", 2), lambda: farm.pool(TWO)) is not first


@pytest.mark.parametrize(
    ("host", "asked"), [("db.example", True), ("localhost", False), ("127.0.0.1", False), ("::1", False), ("", False)]
)
def test_which_servers_need_the_dns(host: str, asked: bool) -> None:
    assert Server("x", host=host).is_name is asked


def test_a_result_that_is_too_large_takes_no_server_out_of_service() -> None:
    driver = PostgresDriver("UTF8", 10)

    class Connection:
        """Gets rows as pg8000 does."""

        rows = ()

        def __init__(self, size: int) -> None:
            self.context = SimpleNamespace(size=size, input_funcs=(), rows=[], row_count=0)

        def execute_simple(self, query: str) -> Connection:
            kind = _connection_class()
            kind.handle_DATA_ROW(object.__new__(kind), b"\0\0", self.context)
            return self

    sizes, closed = iter((TEXT_LIMIT, 0)), []
    pool = Pool((ONE,), lambda server: Connection(next(sizes)), closed.append, idle=60, retry=60, wait=1)
    query = parse_sql("SELECT 1", POSTGRESQL)
    with pytest.raises(LookupFailed, match="at most"):
        pool.ask(lambda connection: driver.rows(connection, query, {}))
    assert len(closed) == 1, "what is left of the result is not read"
    assert pool.ask(lambda connection: driver.rows(connection, query, {})) == ()
