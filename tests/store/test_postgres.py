"""Several front ends over one PostgreSQL database: what they see of each other, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, SEEN, MailboxBusy, StoreUnavailable
from pillarbox.lib.store.patience import Later, in_haste
from pillarbox.lib.store.patience import waiting as waiting_for
from pillarbox.lib.store.sql import connection, pool, waiting
from pillarbox.lib.store.sql.place import Place, parse_place
from pillarbox.lib.store.sql.pool import Pool, migrate
from pillarbox.lib.store.sql.postgres import PostgresDatabase
from pillarbox.lib.store.sql.store import SqlStore
from tests.imap.dialogue import Client, run
from tests.lab.certificates import Authority
from tests.peers.databases import PostgreSQL
from tests.store.conftest import close_pools, uri

PATIENCE = 30.0
"""Seconds within which a notification comes, on a busy machine too."""

Node = Callable[[], SqlStore]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A server that may be killed, with TLS."""
    with PostgreSQL(Authority(tmp_path_factory.mktemp("authority")).issue("localhost")) as server:
        yield server


def nodes(server: PostgreSQL, account: str) -> Iterator[Node]:
    made: list[Pool] = []

    def node() -> SqlStore:
        """The account as another front end sees it, with connections of its own."""
        place, _ = parse_place(f"{uri(server)}#x")
        made.append(Pool(place))
        return SqlStore("pgsql:", PostgresDatabase(made[-1], account))

    yield node
    for each in made:
        each.close()


@pytest.fixture
def node(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[Node]:
    yield from nodes(postgresql, str(tmp_path))


@pytest.fixture
def frail(own_server: PostgreSQL, tmp_path: Path) -> Iterator[Node]:
    """The same over a server that may be killed."""
    yield from nodes(own_server, str(tmp_path))
    if own_server.process is None:
        own_server.start()


def letter(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\nbody\r\n".encode()


def readable(fd: int | None, seconds: float) -> bool:
    assert fd is not None
    found = bool(select.select([fd], [], [], seconds)[0])
    if found:
        os.read(fd, 8)
    return found


# --- notifications


def test_a_change_on_one_node_wakes_who_waits_on_another(node: Node) -> None:
    here, there = node(), node()
    here.create("Work")
    with here.open(INBOX) as inbox, here.open("Work") as work:
        first, second = inbox.watch_fd(), work.watch_fd()
        assert readable(first, PATIENCE) and readable(second, PATIENCE), "listening has begun"
        there.append(INBOX, [letter("one")])
        assert readable(first, PATIENCE)
        assert not readable(second, 0), "another mailbox has not changed"
        assert [state.uid for state in inbox.refresh().new] == [1]
        with there.open(INBOX) as other:
            other.set_flags([1], "add", SEEN)
            assert readable(first, PATIENCE)
            assert [state.flags for state in inbox.refresh().changed] == [SEEN]
            other.move([1], "Work")
        assert readable(first, PATIENCE) and readable(second, PATIENCE)
        assert inbox.refresh().expunged == (1,)


def test_accounts_do_not_wake_each_other(node: Node, postgresql: PostgreSQL) -> None:
    here = node()
    place, _ = parse_place(f"{uri(postgresql)}#x")
    stranger = Pool(place)
    with here.open(INBOX) as inbox:
        fd = inbox.watch_fd()
        assert readable(fd, PATIENCE)
        SqlStore("pgsql:", PostgresDatabase(stranger, "somebody else")).append(INBOX, [letter("x")])
        node().append(INBOX, [letter("y")])
        assert readable(fd, PATIENCE)
        assert not readable(fd, 0)
    stranger.close()


def test_a_closed_mailbox_gives_its_descriptor_back(node: Node) -> None:
    store = node()
    mailbox = store.open(INBOX)
    fd = mailbox.watch_fd()
    assert fd is not None and mailbox.watch_fd() == fd
    mailbox.close()
    assert store._database._pool.waiting._waiting == {}  # type: ignore[attr-defined]


def test_imap_idle_is_told_of_what_another_node_delivers(node: Node, postgresql: PostgreSQL, tmp_path: Path) -> None:
    there = node()
    there.append(INBOX, [letter("one")])

    async def dialogue() -> None:
        client = Client(f"pgsql:{uri(postgresql)}#{tmp_path}", imap_idle_check_interval="1h")
        await client.command("SELECT INBOX")
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+ ")
        there.append(INBOX, [letter("two")])
        assert await client.line() == b"* 2 EXISTS"
        await client.send(b"DONE\r\n")
        while not (await client.line()).startswith(b"i OK"):
            pass
        await client.close()

    run(dialogue())
    close_pools()


def test_an_attempt_that_fails_late_does_not_hide_a_server_that_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a session that is told of a change at this moment looks in vain, and is not told again."""
    place, _ = parse_place("postgresql://x@127.0.0.1/nowhere#x")
    shared = Pool(place)
    attempts = []

    def connect(_: object) -> object:
        attempts.append(True)
        if len(attempts) == 1:
            shared._listening()
            raise connection.ConnectionLost("it did not answer in time")
        return object()

    monkeypatch.setattr(pool, "Connection", connect)
    monkeypatch.setattr(pool, "migrate", lambda _: None)
    with pytest.raises(connection.ConnectionLost):
        shared._fresh()
    assert shared._fresh() is not None


def test_imap_idle_outlives_the_server(
    own_server: PostgreSQL, frail: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(pool, "_LEFT_ALONE", 0.0)
    frail().append(INBOX, [letter("one")])

    async def dialogue() -> None:
        client = Client(f"pgsql:{uri(own_server)}#{tmp_path}", imap_idle_check_interval="1h")
        await client.command("SELECT INBOX")
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+ ")
        own_server.kill()
        await asyncio.to_thread(own_server.start)
        await asyncio.to_thread(lambda: frail().append(INBOX, [letter("two")]))
        assert await client.line() == b"* 2 EXISTS"
        own_server.kill()
        await client.send(b"DONE\r\n")
        while not (await client.line()).startswith(b"i OK"):
            pass
        done = await client.command("UID FETCH 1 (BODY.PEEK[])")
        assert b"[UNAVAILABLE]" in done[-1]
        await asyncio.to_thread(own_server.start)
        done = await client.command("UID FETCH 1 (BODY.PEEK[])")
        assert b"OK" in done[-1]
        await client.close()

    run(dialogue())
    close_pools()


# --- concurrency


def _append_many(place: str, count: int) -> None:
    store = open_store(place)
    for number in range(count):
        store.append(INBOX, [letter(f"{os.getpid()} {number}")])
    os._exit(0)


def test_uids_become_visible_in_ascending_order(postgresql: PostgreSQL, tmp_path: Path) -> None:
    place = f"pgsql:{uri(postgresql)}#{tmp_path}"
    store = open_store(place)
    inbox = store.open(INBOX)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(place, 25)) for _ in range(4)]
    for writer in writers:
        writer.start()
    told, seen = inbox.uid_next, []
    while any(writer.is_alive() for writer in writers):
        new = [state.uid for state in inbox.refresh().new]
        assert all(uid >= told for uid in new), "no UID below a UIDNEXT that was told"
        seen += new
        assert len(seen) == inbox.uid_next - 1 == store.status(INBOX).messages or store.status(INBOX).uid_next > told
        told = inbox.uid_next
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    seen += [state.uid for state in inbox.refresh().new]
    assert seen == list(range(1, 101))
    close_pools()


def test_the_tables_are_made_once_when_all_nodes_start_together(own_server: PostgreSQL) -> None:
    own_server.execute("DROP SCHEMA IF EXISTS pillarbox CASCADE")
    context = multiprocessing.get_context("fork")
    place = f"pgsql:{uri(own_server)}#together"
    starters = [context.Process(target=_append_many, args=(place, 1)) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
        assert starter.exitcode == 0
    assert open_store(place).status(INBOX).messages == 4
    close_pools()


def test_tables_of_a_newer_suite_are_left_alone(own_server: PostgreSQL, frail: Node) -> None:
    frail().list()
    own_server.execute("UPDATE pillarbox.schema_version SET version = version + 1")
    try:
        with pytest.raises(StoreUnavailable, match="upgrade it"):
            frail().list()
    finally:
        own_server.execute("UPDATE pillarbox.schema_version SET version = version - 1")


def test_two_nodes_lock_a_session_out(node: Node) -> None:
    here, there = node(), node()
    with here.session_lock(INBOX):
        for other in (here, there):
            with pytest.raises(MailboxBusy), other.session_lock(INBOX):
                pass
    with there.session_lock(INBOX):
        pass


def test_a_writer_that_holds_the_account_for_too_long_is_told_of(node: Node) -> None:
    here, there = node(), node()
    here.append(INBOX, [letter("one")])
    with here._database.writing(durable=True):
        with waiting_for(0.4), pytest.raises(MailboxBusy):
            there.append(INBOX, [letter("two")])
        with pytest.raises(Later):
            in_haste(lambda: there.append(INBOX, [letter("two")]))
        assert there.status(INBOX).messages == 1, "who only reads does not wait"
    there.append(INBOX, [letter("two")])


def test_a_transaction_that_was_left_open_holds_up_its_account_only(node: Node, postgresql: PostgreSQL) -> None:
    """Those who wait for it, more than there are connections, leave some to others."""
    store = node()
    store.append(INBOX, [letter("one")])
    other = SqlStore("pgsql:", PostgresDatabase(store._database._pool, "somebody else's"))  # type: ignore[attr-defined]
    outcomes: list[str] = []

    def wait() -> None:
        try:
            with waiting_for(60):
                store.append(INBOX, [letter("two")])
            outcomes.append("stored")
        except MailboxBusy:
            outcomes.append("busy")

    with node()._database.writing(durable=True):
        waiters = [threading.Thread(target=wait) for _ in range(2 * pool.CONNECTIONS)]
        for waiter in waiters:
            waiter.start()
        for number in range(5):
            assert other.append(INBOX, [letter(str(number))]).uid
        assert outcomes == []
    for waiter in waiters:
        waiter.join()
    assert outcomes == ["stored"] * len(waiters)
    assert store.status(INBOX).messages == 1 + len(waiters)
    ((there,),) = store._database._pool._begun(  # type: ignore[attr-defined]
        lambda fresh: fresh.simple("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'")
    )[1]
    assert there == 0, "no transaction is left open"


@pytest.fixture
def giving_up(own_server: PostgreSQL, frail: Node, tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Makes the database give up so many transactions that write messages."""
    frail().append(INBOX, [letter("zero")])
    own_server.execute(
        "CREATE SEQUENCE given_up; CREATE TABLE wanted (times BIGINT); INSERT INTO wanted VALUES (0);"
        "CREATE FUNCTION give_up() RETURNS trigger AS $$ BEGIN"
        " IF (SELECT times FROM public.wanted) >= nextval('public.given_up')"
        " THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$"
        " LANGUAGE plpgsql;"
        "CREATE CONSTRAINT TRIGGER give_up AFTER INSERT OR UPDATE OR DELETE ON pillarbox.messages"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION give_up()"
    )
    yield lambda times: own_server.execute(f"UPDATE wanted SET times = {times}; ALTER SEQUENCE given_up RESTART")
    own_server.execute(
        "DROP TRIGGER give_up ON pillarbox.messages; DROP FUNCTION give_up; DROP TABLE wanted; DROP SEQUENCE given_up"
    )


def test_what_the_database_gives_up_is_done_again(giving_up: Callable[[int], None], frail: Node) -> None:
    """At the commit, as a database does that looks for conflicts: a deadlock is told the same way."""
    store = frail()
    large = [b"Subject: large\r\n\r\n", *(os.urandom(60).hex().encode() + b"\r\n" for _ in range(8000))]
    steps: list[Callable[[], object]] = [
        lambda: store.append(INBOX, [letter("one")]),
        lambda: store.append(INBOX, large),
        lambda: store.deliver([Delivery(content=lambda: [letter("two")]), Delivery(content=lambda: [letter("three")])]),
    ]
    for step in steps:
        giving_up(2)
        step()
    with store.open(INBOX) as inbox:
        assert [state.uid for state in inbox.messages] == [1, 2, 3, 4, 5]
        store.create("Work")
        for change in (
            lambda: inbox.set_flags([1, 2], "add", SEEN),
            lambda: inbox.copy([3], "Work"),
            lambda: inbox.move([4], "Work"),
            lambda: inbox.expunge([1]),
        ):
            giving_up(2)
            change()
        assert [(state.uid, state.flags) for state in inbox.messages] == [(2, SEEN), (3, 0), (5, 0)]
        with inbox.read(3) as content:
            assert content.read() == b"".join(large)
    with store.open("Work") as work:
        assert [work.size(state.uid) for state in work.messages] == [sum(map(len, large)), len(letter("two"))]
    assert list(store.check(mend=False)) == []


def test_what_it_gives_up_again_and_again_is_told_of(giving_up: Callable[[int], None], frail: Node) -> None:
    store = frail()
    giving_up(1000)
    with pytest.raises(MailboxBusy):
        store.append(INBOX, [letter("one")])
    (outcome,) = store.deliver([Delivery(content=lambda: [letter("two")])])
    assert outcome is not None and outcome.dsn == "4.2.0"
    giving_up(0)
    assert store.status(INBOX).messages == 1
    assert list(store.check(mend=False)) == []


# --- a server that goes away


def test_a_session_outlives_the_server(own_server: PostgreSQL, frail: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(pool, "_LEFT_ALONE", 0.0)
    store = frail()
    store.append(INBOX, [letter("one")])
    with store.open(INBOX) as inbox:
        fd = inbox.watch_fd()
        assert readable(fd, PATIENCE)
        own_server.kill()
        for action in (inbox.refresh, lambda: inbox.read(1), lambda: inbox.set_flags([1], "add", SEEN)):
            with pytest.raises(StoreUnavailable):
                action()
        assert [state.uid for state in inbox.messages] == [1]
        own_server.start()
        inbox.refresh()
        with inbox.read(1) as content:
            assert content.read() == letter("one")
        assert readable(fd, PATIENCE), "what came meanwhile is looked for"
        frail().append(INBOX, [letter("two")])
        assert readable(fd, PATIENCE)
        assert [state.uid for state in inbox.refresh().new] == [2]


def test_a_connection_that_died_unused_is_replaced_unnoticed(own_server: PostgreSQL, frail: Node) -> None:
    store = frail()
    store.append(INBOX, [letter("one")])
    own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pillarbox'")
    assert store.append(INBOX, [letter("two")]).uid == 2


def test_a_connection_lost_in_a_transaction_fails_it_and_nothing_of_it_stays(
    own_server: PostgreSQL, frail: Node
) -> None:
    store = frail()
    store.append(INBOX, [letter("one")])
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pillarbox'"
    with pytest.raises(StoreUnavailable), store._database.writing(durable=True) as transaction:
        transaction.execute("DELETE FROM messages WHERE account = ?1", transaction.account)
        own_server.execute(kill)
    assert store.append(INBOX, [letter("two")]).uid == 2
    with store.open(INBOX) as inbox:
        assert [state.uid for state in inbox.messages] == [1, 2]


# --- how it is reached


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_by_tcp_with_and_without_tls_and_a_password_in_a_file(
    own_server: PostgreSQL, tmp_path: Path, mode: str
) -> None:
    passfile = tmp_path / "password"
    passfile.write_text(f"{own_server.password}\nsecond line\n")
    address = f"{own_server.user}@{own_server.address}:{own_server.port}"
    store = open_store(f"pgsql:postgresql://{address}/postgres?sslmode={mode}&passfile={passfile}#ann")
    assert [entry.name for entry in store.list()] == [INBOX]
    place, _ = parse_place(f"postgresql://{address}/postgres?sslmode={mode}&passfile={passfile}#ann")
    fresh = connection.Connection(place)
    ((tls,),) = fresh.simple("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert tls == (mode != "disable")
    migrate(fresh)
    fresh.close()
    close_pools()


def test_what_is_said_of_failures_shows_no_password(own_server: PostgreSQL) -> None:
    address = f"{own_server.address}:{own_server.port}"
    for place in (
        f"pgsql:postgresql://mail:secret@{address}/postgres#ann",
        "pgsql:postgresql://mail:secret@127.0.0.1:1/postgres#ann",
        "pgsql:postgresql://mail:secret@127.0.0.1/postgres?nonsense=1#ann",
        "pgsql:postgresql://mail:secret@127.0.0.1/postgres",
    ):
        with pytest.raises(StoreUnavailable) as raised:
            open_store(place).list()
        assert "secret" not in str(raised.value)
    close_pools()


def test_the_files_that_a_connection_needs_are_known() -> None:
    place, account = parse_place(
        "postgresql://mail@db/mail?sslmode=verify-full&passfile=/etc/secret&host=x#ann@example.com"
    )
    assert account == "ann@example.com"
    assert place == Place("postgresql://mail@db/mail?sslmode=verify-full&host=x", "/etc/secret")
    assert place.files() == ("/etc/secret",)
