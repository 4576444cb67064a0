"""Large bodies in object storage: what is put there, what comes back, and that nothing is left behind."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, StoreUnavailable
from pillarbox.lib.store.sql import objects
from pillarbox.lib.store.sql.object_bodies import clear_unused
from pillarbox.lib.store.sql.place import parse_place
from pillarbox.lib.store.sql.pool import Pool
from pillarbox.lib.store.sql.postgres import PostgresDatabase
from pillarbox.lib.store.sql.signature import Credentials, signed_headers
from pillarbox.lib.store.sql.store import SqlStore
from tests.peers.databases import PostgreSQL
from tests.store.conftest import uri
from tests.store.object_server import KEY, REGION, SECRET, ObjectServer

SEGMENT = objects.SEGMENT


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer() as made:
        yield made


@pytest.fixture
def store(postgresql: PostgreSQL, server: ObjectServer, tmp_path: Path) -> Iterator[SqlStore]:
    keyfile = tmp_path / "keys"
    keyfile.write_text(f"{KEY}\n{SECRET}\n")
    place, account = parse_place(
        f"{uri(postgresql)}&objects=http://127.0.0.1:{server.port}/bucket/pre"
        f"&objectsfile={keyfile}&objectsregion={REGION}#{tmp_path}"
    )
    pool = Pool(place)
    yield SqlStore("pgsql:", PostgresDatabase(pool, account))
    pool.close()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size).replace(b"\n", b"n").replace(b"\r", b"r")


def age(store: SqlStore) -> int:
    """As if all bodies that nobody has had gone long ago; gives how many were cleared away."""
    with store._database.writing(durable=True) as transaction:
        transaction.execute(
            "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND unused_since > 0", transaction.account
        )
        return clear_unused(store._database, transaction)


def test_the_signature_is_that_of_the_published_example() -> None:
    """AWS, "Signature Calculations for the Authorization Header", example GET Object."""
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    signed = signed_headers(credentials, "GET", "/test.txt", headers, b"", 1369353600)
    assert signed["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


@pytest.mark.parametrize("size", [objects.FROM - 1, objects.FROM, SEGMENT, SEGMENT + 1, SEGMENT * 10 + 77])
def test_a_body_comes_back_from_where_it_was_put(store: SqlStore, server: ObjectServer, size: int) -> None:
    text = noise(size)
    uid = store.append(INBOX, [text[place : place + 100_000] for place in range(0, size, 100_000)]).uid
    assert len(server.objects) == (0 if size < objects.FROM else -(-size // SEGMENT))
    with store.open(INBOX) as inbox, inbox.read(uid) as content:
        assert content.size == size
        assert content.read() == text
        for start in (0, 1, 131071, SEGMENT - 3, size - 5):
            assert content.read(max(start, 0), 11) == text[max(start, 0) : max(start, 0) + 11]
        assert text.startswith(content.header(1000))
    assert list(store.check(mend=False)) == []


def test_what_is_there_already_is_not_put_again(store: SqlStore, server: ObjectServer) -> None:
    text = noise(200_000)
    store.append(INBOX, [text])
    before = len(server.requests)
    store.append(INBOX, [text])
    assert len(server.requests) == before
    store.append(INBOX, [noise(SEGMENT * 2)])
    many = len(server.objects)
    store.append(INBOX, [noise(SEGMENT * 2)])
    assert len(server.objects) > many, "a large one is put while it comes in"
    assert age(store) == 1
    assert len(server.objects) == many
    with store.open(INBOX) as inbox, inbox.read(4) as content:
        assert content.read() == noise(SEGMENT * 2)


def test_the_objects_go_when_nobody_has_the_body_any_more(store: SqlStore, server: ObjectServer) -> None:
    store.create("Copies")
    store.append(INBOX, [noise(SEGMENT + 5)])
    with store.open(INBOX) as inbox:
        inbox.copy([1], "Copies")
        inbox.expunge([1])
    assert age(store) == 0 and len(server.objects) == 2
    store.delete("Copies")
    assert len(server.objects) == 2, "a session may be reading it"
    server.down = True
    assert age(store) == 0, "the storage is away: another time"
    server.down = False
    assert age(store) == 1
    assert server.objects == {}


def test_a_body_whose_objects_are_half_gone_is_not_given_to_another_message(
    store: SqlStore, server: ObjectServer
) -> None:
    text = noise(SEGMENT + 5)
    store.append(INBOX, [text])
    with store.open(INBOX) as inbox:
        inbox.expunge([1])
    with store._database.writing(durable=True) as transaction:
        transaction.execute(
            "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND unused_since > 0", transaction.account
        )
    lost = RuntimeError("the front end dies before the commit")
    with pytest.raises(RuntimeError), store._database.writing(durable=True) as transaction:
        assert clear_unused(store._database, transaction) == 1
        raise lost
    assert server.objects == {}
    store.append(INBOX, [text])
    with store.open(INBOX) as inbox, inbox.read(2) as content:
        assert content.read() == text
    assert age(store) == 1
    with store.open(INBOX) as inbox, inbox.read(2) as content:
        assert content.read() == text


def test_a_message_that_was_given_up_leaves_no_object(store: SqlStore, server: ObjectServer) -> None:
    given_up = store.begin_append(INBOX)
    given_up.write(noise(SEGMENT * 3 + 1))
    given_up.abort()
    died = store.begin_append(INBOX)
    died.write(noise(SEGMENT * 12, 2))
    assert server.objects
    assert age(store) == 2
    assert server.objects == {}
    with pytest.raises(StoreUnavailable, match="too long"):
        died.commit()
    assert store.status(INBOX).messages == 0


def test_a_storage_that_is_away_fails_that_message_only(store: SqlStore, server: ObjectServer) -> None:
    store.append(INBOX, [noise(300_000)])
    server.down = True
    with pytest.raises(StoreUnavailable, match="503"):
        store.append(INBOX, [noise(400_000, 2)])
    with store.open(INBOX) as inbox:
        with pytest.raises(StoreUnavailable, match="503"), inbox.read(1) as content:
            content.read()
        store.append(INBOX, [b"Subject: small\r\n\r\n"])
        inbox.refresh()
        server.down = False
        with inbox.read(1) as content:
            assert content.read() == noise(300_000)
    outcomes = store.deliver([Delivery(lambda: [noise(100_000, 3)]), Delivery(lambda: [b"x"])])
    assert outcomes == [None, None]
    assert store.status(INBOX).messages == 4


def test_a_kept_connection_that_has_ended_is_made_anew(store: SqlStore, server: ObjectServer) -> None:
    server.hang_up = True
    for seed in range(3):
        store.append(INBOX, [noise(100_000, seed)])
    assert len(server.objects) == 3


def test_a_wrong_secret_is_told(store: SqlStore, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\nwrong\n")
    with pytest.raises(StoreUnavailable, match="403") as raised:
        store.append(INBOX, [noise(100_000)])
    assert "wrong" not in str(raised.value)
    (tmp_path / "keys").unlink()
    with pytest.raises(StoreUnavailable):
        store.append(INBOX, [noise(100_000)])


def test_a_missing_object_fails_its_message(store: SqlStore, server: ObjectServer) -> None:
    store.append(INBOX, [noise(100_000)])
    server.objects.clear()
    with store.open(INBOX) as inbox, inbox.read(1) as content, pytest.raises(StoreUnavailable, match="404"):
        content.read()


def test_a_large_message_is_never_whole_in_memory(store: SqlStore) -> None:
    store.open(INBOX).close()
    pieces = random.Random(5)
    tracemalloc.start()
    objects_held = store.begin_append(INBOX)
    for _ in range(128):
        objects_held.write(pieces.randbytes(65536))
    objects_held.commit()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The server is in this process and has it all.
    assert most < (8 << 20) + (6 << 20)


@pytest.mark.parametrize(
    "settings", ["objects=ftp://x/b&objectsfile=/k", "objects=https://x&objectsfile=/k", "objects=https://x/b"]
)
def test_what_is_no_bucket_is_told(settings: str) -> None:
    with pytest.raises(ValueError, match="objects"):
        parse_place(f"postgresql://mail@db/mail?{settings}#ann")
