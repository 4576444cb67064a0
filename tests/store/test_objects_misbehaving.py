"""Object storage that does what no real one does on purpose: it is down, slow, breaks off, lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, StoreUnavailable
from pillarbox.lib.store.sql import objects
from pillarbox.lib.store.sql.object_trouble import trouble
from pillarbox.lib.store.sql.objects import ObjectPlace, Objects
from pillarbox.lib.store.sql.place import parse_place
from pillarbox.lib.store.sql.pool import Pool
from pillarbox.lib.store.sql.postgres import PostgresDatabase
from pillarbox.lib.store.sql.store import SqlStore
from tests.peers.databases import PostgreSQL
from tests.store.conftest import uri
from tests.store.object_server import KEY, REGION, SECRET, ObjectServer
from tests.store.test_objects import age, noise

SEGMENT = objects.SEGMENT


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    with ObjectServer() as made:
        yield made


@pytest.fixture
def server(running: ObjectServer) -> ObjectServer:
    running.behave()
    return running


@pytest.fixture
def keyfile(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{SECRET}\n")
    return path


@pytest.fixture
def store(postgresql: PostgreSQL, server: ObjectServer, keyfile: Path) -> Iterator[SqlStore]:
    place, account = parse_place(
        f"{uri(postgresql)}&objects=http://127.0.0.1:{server.port}/bucket/pre"
        f"&objectsfile={keyfile}&objectsregion={REGION}#{keyfile}"
    )
    pool = Pool(place)
    yield SqlStore("pgsql:", PostgresDatabase(pool, account))
    pool.close()


@pytest.fixture
def storage(server: ObjectServer, keyfile: Path) -> Iterator[Objects]:
    made = Objects(ObjectPlace(f"http://127.0.0.1:{server.port}/bucket", str(keyfile), REGION))
    made.put("some", b"0123456789")
    server.requests.clear()
    yield made
    made.close()


def test_a_storage_that_is_down_fails_that_message_only(store: SqlStore, server: ObjectServer) -> None:
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


def test_who_reads_on_asks_once_for_each_object(store: SqlStore, server: ObjectServer) -> None:
    text = noise(SEGMENT * 3 + 5)
    store.append(INBOX, [text])
    with store.open(INBOX) as inbox, inbox.read(1) as content:
        server.requests.clear()
        assert text.startswith(content.header(100)) and len(server.requests) == 1
        assert content.read() == text
        assert len(server.requests) == 5
        assert content.read(SEGMENT + 7, 5) == text[SEGMENT + 7 : SEGMENT + 12]
        assert content.read(5) == text[5:]
    assert len(server.requests) == 11


def test_what_cannot_be_removed_now_is_removed_another_time(store: SqlStore, server: ObjectServer) -> None:
    store.append(INBOX, [noise(SEGMENT + 5)])
    with store.open(INBOX) as inbox:
        inbox.expunge([1])
    server.down = True
    assert age(store) == 0 and len(server.objects) == 2
    server.down = False
    assert age(store) == 1 and server.objects == {}


def test_a_connection_is_kept_whatever_is_answered(storage: Objects, server: ObjectServer) -> None:
    storage.delete("none")
    assert storage.get("some", 0, 10) == b"0123456789"
    with pytest.raises(StoreUnavailable, match="404"):
        storage.get("none", 0, 10)
    storage.put("other", b"")
    assert (server.connections, len(server.requests)) == (1, 4)


def test_a_kept_connection_that_has_ended_is_made_anew(storage: Objects, server: ObjectServer) -> None:
    server.hang_up = True
    for _ in range(3):
        storage.put("other", b"x")
        assert storage.get("some", 2, 4) == b"23"
    assert len(server.requests) == 6


def test_a_passing_trouble_is_not_told(storage: Objects, server: ObjectServer) -> None:
    for status in (500, 502, 503, 504):
        server.once = status
        assert storage.get("some", 2, 4) == b"23"
    assert len(server.requests) == 8
    server.once = 403
    with pytest.raises(StoreUnavailable, match=r"GET: 403$"):
        storage.get("some", 2, 4)
    assert len(server.requests) == 9


def test_a_range_may_be_answered_with_the_whole(storage: Objects, server: ObjectServer) -> None:
    server.whole = True
    assert storage.get("some", 0, 4) == b"0123"
    assert storage.get("some", 6, 10) == b"6789"
    with pytest.raises(StoreUnavailable, match="shorter"):
        storage.get("some", 6, 11)


def test_another_range_is_not_taken_for_the_right_one(storage: Objects, server: ObjectServer) -> None:
    server.shift = 1
    with pytest.raises(StoreUnavailable, match="another range"):
        storage.get("some", 2, 4)


def test_more_than_was_asked_for_is_not_taken_for_the_next_answer(storage: Objects, server: ObjectServer) -> None:
    server.objects["/bucket/long"] = b"x" * 100_000
    server.longer = 70_000
    with pytest.raises(StoreUnavailable, match="shorter"):
        storage.get("long", 2, 4)
    server.longer = 0
    assert storage.get("some", 2, 4) == b"23"


@pytest.mark.parametrize("kept", [True, False])
def test_an_answer_that_breaks_off_is_an_error(storage: Objects, server: ObjectServer, kept: bool) -> None:
    server.cut = True
    if not kept:
        storage.close()
    with pytest.raises(StoreUnavailable, match=r"object storage 127\.0\.0\.1: the answer breaks off"):
        storage.get("some", 2, 8)
    assert len(server.requests) == 1 + kept
    server.cut = False
    assert storage.get("some", 2, 8) == b"234567"


def test_an_answer_that_comes_too_slowly_is_an_error(
    storage: Objects, server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_LONGEST", 0.05)
    server.pause = 0.02
    with pytest.raises(StoreUnavailable, match="too slowly"):
        storage.get("some", 0, 10)
    assert len(server.requests) == 1
    monkeypatch.undo()
    storage.close()
    monkeypatch.setattr(objects, "_TIMEOUT", 0.05)
    server.pause = 0.3
    with pytest.raises(StoreUnavailable, match="timed out"):
        storage.get("some", 0, 10)


def test_a_refusal_before_the_body_was_read_is_told(storage: Objects, server: ObjectServer) -> None:
    server.refuse_early = True
    storage.close()
    with pytest.raises(StoreUnavailable, match="PUT: 403 AccessDenied"):
        storage.put("large", bytes(8 << 20))
    server.refuse_early = False
    storage.put("large", b"x")


def test_what_is_said_of_an_error_cannot_be_more_than_a_few_plain_words() -> None:
    date = "Fri, 24 May 2013 00:00:00 GMT"
    for body in (b"", b"<Code>", b"<Code>a\r\nb</Code>", b"\x00\xff" * 100, b"<Code>" + b"x" * 100 + b"</Code>"):
        assert trouble(403, date, body, 0).text == "403"
    assert trouble(418, date, b"<Error><Code>Odd.One</Code></Error>", 0).text == "418 Odd.One"
    skewed = b"<Code>RequestTimeTooSkewed</Code>"
    assert "1000 seconds behind that" in trouble(403, date, skewed, 1369353600 - 1000).text
    for wrong in ("", "now", "Fri, 24 May 99999 00:00:00 GMT"):
        assert "(our clock or that of the storage is wrong)" in trouble(403, wrong, skewed, 0).text
    assert trouble(404, "", b"", 0).gone and not trouble(404, "", b"<Code>NoSuchBucket</Code>", 0).gone


@pytest.mark.parametrize(
    "settings", ["objects=ftp://x/b&objectsfile=/k", "objects=https://x&objectsfile=/k", "objects=https://x/b"]
)
def test_what_is_no_bucket_is_told(settings: str) -> None:
    with pytest.raises(ValueError, match="objects"):
        parse_place(f"postgresql://mail@db/mail?{settings}#ann")
