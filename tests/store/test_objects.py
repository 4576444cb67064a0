"""Large bodies in a real object storage: what is put there, what comes back, and that nothing is left behind.

The suites that hold for every store are collected here once more, with each body, however small, in the storage.
"""

from __future__ import annotations

import imaplib
import random
import smtplib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, Store, StoreUnavailable
from pillarbox.lib.store.sql import object_bodies, objects, pieces
from pillarbox.lib.store.sql.object_bodies import clear_unused
from pillarbox.lib.store.sql.objects import ObjectPlace, Objects
from pillarbox.lib.store.sql.place import parse_place
from pillarbox.lib.store.sql.pool import Pool
from pillarbox.lib.store.sql.postgres import PostgresDatabase
from pillarbox.lib.store.sql.store import SqlStore
from tests.lab.certificates import Authority
from tests.lab.instance import Instance
from tests.lab.ports import free_port
from tests.peers.databases import PostgreSQL
from tests.peers.haproxy import HAProxy, Route
from tests.peers.object_storage import Swift
from tests.store.conftest import close_pools, location, object_settings, uri, use_postgresql
from tests.store.dying import dies_at
from tests.store.test_conformance import *  # noqa: F403
from tests.store.test_deliver import *  # noqa: F403

SEGMENT = objects.SEGMENT
MOST_STEPS = 100


@pytest.fixture
def kind(postgresql: PostgreSQL, swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """For the suites, and for deaths: with small objects."""
    monkeypatch.setattr(objects, "FROM", 1)
    for module in (objects, pieces):
        monkeypatch.setattr(module, "SEGMENT", pieces.PIECE)
    monkeypatch.setattr(object_bodies, "_FIRST_NOTED", 2)
    use_postgresql(postgresql, object_settings(swift, tmp_path / "keys"))
    yield "pgsql"
    close_pools()


@pytest.fixture
def account(postgresql: PostgreSQL, swift: Swift, tmp_path: Path) -> Iterator[SqlStore]:
    """With the usual sizes."""
    place, name = parse_place(f"{uri(postgresql)}{object_settings(swift, tmp_path / 'keys')}#{tmp_path}")
    pool = Pool(place)
    yield SqlStore("pgsql:", PostgresDatabase(pool, name))
    pool.close()


@pytest.fixture
def added(swift: Swift) -> Callable[[], int]:
    """Gives how many objects there are more than at first."""
    before = swift.count
    return lambda: swift.count - before


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size).replace(b"\n", b"n").replace(b"\r", b"r")


def age(store: Store) -> int:
    """As if all bodies that nobody has had gone long ago; gives how many were cleared away."""
    assert isinstance(store, SqlStore)
    with store._database.writing(durable=True) as transaction:
        transaction.execute(
            "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND unused_since > 0", transaction.account
        )
        return clear_unused(store._database, transaction)


def texts(store: Store) -> list[bytes]:
    found = []
    with store.open(INBOX) as inbox:
        for message in inbox.messages:
            with inbox.read(message.uid) as content:
                found.append(content.read())
    return found


# --- messages


@pytest.mark.parametrize("size", [objects.FROM - 1, objects.FROM, SEGMENT, SEGMENT + 1, SEGMENT * 3 + 77])
def test_a_body_comes_back_from_where_it_was_put(account: SqlStore, added: Callable[[], int], size: int) -> None:
    text = noise(size)
    uid = account.append(INBOX, [text[place : place + 100_000] for place in range(0, size, 100_000)]).uid
    assert added() == (0 if size < objects.FROM else -(-size // SEGMENT))
    with account.open(INBOX) as inbox, inbox.read(uid) as content:
        assert content.size == size
        assert content.read() == text
        for start in (0, 1, 131071, SEGMENT - 3, size - 5):
            assert content.read(max(start, 0), 11) == text[max(start, 0) : max(start, 0) + 11]
        assert text.startswith(content.header(1000))
    assert list(account.check(mend=False)) == []


def test_what_is_there_already_is_not_put_again(account: SqlStore, added: Callable[[], int]) -> None:
    text = noise(200_000)
    account.append(INBOX, [text])
    assert added() == 1
    account.append(INBOX, [text])
    assert added() == 1
    account.append(INBOX, [noise(SEGMENT * 2)])
    account.append(INBOX, [noise(SEGMENT * 2)])
    assert added() > 3, "a large one is put while it comes in"
    assert age(account) == 1
    assert added() == 3
    with account.open(INBOX) as inbox, inbox.read(4) as content:
        assert content.read() == noise(SEGMENT * 2)


def test_the_objects_go_when_nobody_has_the_body_any_more(account: SqlStore, added: Callable[[], int]) -> None:
    account.create("Copies")
    account.append(INBOX, [noise(SEGMENT + 5)])
    with account.open(INBOX) as inbox:
        inbox.copy([1], "Copies")
        inbox.expunge([1])
    assert age(account) == 0 and added() == 2
    account.delete("Copies")
    assert added() == 2, "a session may be reading it"
    assert age(account) == 1
    assert added() == 0


def test_a_body_whose_objects_are_half_gone_is_not_given_to_another_message(
    account: SqlStore, added: Callable[[], int]
) -> None:
    text = noise(SEGMENT + 5)
    account.append(INBOX, [text])
    with account.open(INBOX) as inbox:
        inbox.expunge([1])
    with account._database.writing(durable=True) as transaction:
        transaction.execute(
            "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND unused_since > 0", transaction.account
        )
    lost = RuntimeError("the front end dies before the commit")
    with pytest.raises(RuntimeError), account._database.writing(durable=True) as transaction:
        assert clear_unused(account._database, transaction) == 1
        raise lost
    assert added() == 0
    account.append(INBOX, [text])
    assert texts(account) == [text]
    assert age(account) == 1
    assert texts(account) == [text]


def test_a_message_that_was_given_up_leaves_no_object(account: SqlStore, added: Callable[[], int]) -> None:
    given_up = account.begin_append(INBOX)
    given_up.write(noise(SEGMENT * 3 + 1))
    given_up.abort()
    died = account.begin_append(INBOX)
    died.write(noise(SEGMENT * 9, 2))
    assert added() == 3 + 8
    assert age(account) == 2
    assert added() == 0
    with pytest.raises(StoreUnavailable, match="too long"):
        died.commit()
    assert account.status(INBOX).messages == 0


def test_a_missing_object_fails_its_message(account: SqlStore) -> None:
    account.append(INBOX, [noise(100_000)])
    store = account._database.objects
    assert store is not None
    (((body,),)) = account._database.single("SELECT body FROM bodies WHERE account = ?1", account._database.account)
    store.delete(account._database.object_name(body, 0))
    with account.open(INBOX) as inbox, inbox.read(1) as content, pytest.raises(StoreUnavailable, match="404 NoSuchKey"):
        content.read()


def test_a_large_message_is_never_whole_in_memory(account: SqlStore) -> None:
    account.open(INBOX).close()
    pieces = random.Random(5)
    tracemalloc.start()
    arriving = account.begin_append(INBOX)
    for _ in range(128):
        arriving.write(pieces.randbytes(65536))
    arriving.commit()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 << 20


# --- the storage in trouble


def test_a_storage_that_ends_and_comes_back_loses_no_message(account: SqlStore, swift: Swift) -> None:
    old, new, other = noise(SEGMENT * 2 + 5), noise(SEGMENT * 2 + 7, 2), noise(100_000, 3)

    def killed_meanwhile() -> Iterator[bytes]:
        yield new[: SEGMENT + 10]
        swift.kill()
        yield new[SEGMENT + 10 :]

    account.append(INBOX, [old])
    with account.open(INBOX) as inbox, inbox.read(1) as content:
        assert content.read(0, 10) == old[:10]
        outcomes = account.deliver(
            [Delivery(killed_meanwhile), Delivery(lambda: [b"Subject: small\r\n\r\n"]), Delivery(lambda: [other])]
        )
        assert [outcome if outcome is None else outcome.dsn[0] for outcome in outcomes] == ["4", None, "4"]
        assert outcomes[0] is not None and "object storage 127.0.0.1: " in str(outcomes[0])
        with pytest.raises(StoreUnavailable, match=r"^object storage 127\.0\.0\.1: "):
            content.read(SEGMENT, 10)
        swift.start()
        assert content.read(SEGMENT, 10) == old[SEGMENT : SEGMENT + 10]
    assert account.deliver([Delivery(lambda: [new]), Delivery(lambda: [other])]) == [None, None]
    assert texts(account) == [old, b"Subject: small\r\n\r\n", new, other]
    assert list(account.check(mend=False)) == []


def test_a_storage_that_is_full_takes_no_large_message(
    account: SqlStore, swift: Swift, added: Callable[[], int]
) -> None:
    account.append(INBOX, [noise(100_000)])
    with swift.full():
        with pytest.raises(StoreUnavailable, match="PUT: 503 "):
            account.append(INBOX, [noise(100_000, 2)])
        (outcome,) = account.deliver([Delivery(lambda: [noise(SEGMENT + 5, 3)])])
        assert outcome is not None and outcome.dsn[0] == "4"
        account.append(INBOX, [b"Subject: small\r\n\r\n"])
    assert texts(account) == [noise(100_000), b"Subject: small\r\n\r\n"]
    assert account.deliver([Delivery(lambda: [noise(SEGMENT + 5, 3)])]) == [None]
    age(account)
    assert added() == 3


def test_a_whole_suite_lets_mail_wait_until_the_storage_is_there_and_lets_us_in(
    postgresql: PostgreSQL, swift: Swift
) -> None:
    large, small = (b"Subject: %b\r\n\r\n%b" % (name, b"0123456789\r\n" * n) for name, n in ((b"l", 10_000), (b"s", 1)))
    mail = Instance(users={"ann@example.org": "secret"})
    passfile, keyfile = mail.directory / "password", mail.directory / "keys"
    passfile.write_text(postgresql.password)
    server = f"postgresql://{postgresql.user}@{postgresql.address}:{postgresql.port}/postgres?passfile={passfile}"
    settings = object_settings(swift, keyfile).replace("%", "%%")
    mail.settings = {"mail_location": f"pgsql:{server}{settings}#{mail.directory.name}-%u"}
    swift.keyfile(keyfile, "another")
    with mail:
        with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
            for text in (large, small):
                client.sendmail("bob@example.com", ["ann@example.org"], text)
        mail.wait_for(
            lambda: mail.log_matching(r"status=deferred .*object storage 127\.0\.0\.1: PUT: 403 SignatureDoes")
        )
        mail.wait_for(lambda: mail.log_matching("to=<ann@example.org>.*status=sent"))
        swift.kill()
        swift.keyfile(keyfile)

        def after_a_flush(pattern: str) -> int:
            mail.run(["pillarbox", "flush"], check=True)
            return len(mail.log_matching(pattern))

        refused = r"status=deferred .*object storage 127\.0\.0\.1: .*Connection refused"
        mail.wait_for(lambda: after_a_flush(refused))
        swift.start()
        mail.wait_for(lambda: after_a_flush("to=<ann@example.org>.*status=sent") == 2)
        assert mail.queue_ids() == []
        with imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30) as session:
            session.login("ann@example.org", "secret")
            session.select()
            found = [part[1] for part in session.fetch("1:*", "(BODY[])")[1] if isinstance(part, tuple)]
            assert found[0].endswith(small) and found[1].endswith(large)


# --- requests


@pytest.fixture
def storage(swift: Swift, tmp_path: Path) -> Callable[..., Objects]:
    """A connection with other settings than the right ones."""

    def connect(bucket: str = "mail", secret: str | None = None, region: str = "") -> Objects:
        keyfile = swift.keyfile(tmp_path / "other", secret)
        return Objects(ObjectPlace(swift.url(bucket), str(keyfile), region or swift.region))

    return connect


def each_request(storage: Objects) -> Iterator[Callable[[], object]]:
    yield lambda: storage.put("some/object", noise(1000))
    yield lambda: storage.get("some/object", 0, 10)
    yield lambda: storage.delete("some/object")


@pytest.mark.parametrize("prefix", ["/pre", "/a b/ü+%&=~", "/'(x)*,;:@!$", '/日本/[]{}|\\^`<>"'])
def test_objects_of_any_name_are_put_got_and_deleted(
    storage: Callable[..., Objects], added: Callable[[], int], prefix: str
) -> None:
    there = storage(f"mail{prefix}")
    text = noise(SEGMENT)
    there.put("a/1", text)
    there.put("a/1", text)
    assert added() == 1
    for start, stop in ((0, SEGMENT), (0, 1), (5, 17), (SEGMENT - 1, SEGMENT), (131072, 262144)):
        assert there.get("a/1", start, stop) == text[start:stop]
    with pytest.raises(StoreUnavailable, match="shorter"):
        there.get("a/1", SEGMENT - 5, SEGMENT + 5)
    with pytest.raises(StoreUnavailable, match="416"):
        there.get("a/1", SEGMENT, SEGMENT + 5)
    there.delete("a/1")
    there.delete("a/1")
    assert added() == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"secret": "wrong"}, r"403 SignatureDoesNotMatch \(access key or secret in objectsfile"),
        ({"bucket": "none"}, r"404 NoSuchBucket \(objects: "),
        ({"region": "elsewhere"}, r"400 AuthorizationHeaderMalformed \(objectsregion"),
    ],
)
def test_a_wrong_setting_is_told(storage: Callable[..., Objects], settings: dict[str, str], told: str) -> None:
    for request in each_request(storage(**settings)):
        with pytest.raises(StoreUnavailable, match=rf"^object storage 127.0.0.1: (PUT|GET|DELETE): {told}") as raised:
            request()
        assert "wrong" not in str(raised.value)


def test_a_clock_that_is_wrong_is_told(storage: Callable[..., Objects], monkeypatch: pytest.MonkeyPatch) -> None:
    there, now = storage(), time.time
    for minutes, told in ((-14, ""), (14, ""), (-20, "seconds behind that"), (20, "seconds ahead of that")):
        monkeypatch.setattr(objects.time, "time", lambda minutes=minutes: now() + minutes * 60)
        if not told:
            there.put("some/object", b"x")
            continue
        for request in each_request(there):
            with pytest.raises(StoreUnavailable, match=rf"403 RequestTimeTooSkewed \(our clock is 1[12]\d\d {told}"):
                request()


def test_other_keys_are_read_once_the_old_ones_are_refused(storage: Callable[..., Objects], swift: Swift) -> None:
    there = storage(secret="old")
    path = Path(there._place.keyfile)
    with pytest.raises(StoreUnavailable, match="403"):
        there.put("some/object", b"x")
    path.write_text(f"someone:else\n{swift.secret}\n")
    with pytest.raises(StoreUnavailable, match="403"):
        there.put("some/object", b"x")
    swift.keyfile(path)
    there.put("some/object", b"x")
    assert there.get("some/object", 0, 1) == b"x"


def test_a_storage_behind_tls_is_who_its_certificate_says(
    swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "authority")
    chain, port = authority.issue("localhost").chain, free_port()
    keyfile = str(swift.keyfile(tmp_path / "other"))

    def storage(host: str) -> Objects:
        return Objects(ObjectPlace(f"https://{host}:{port}/mail/tls", keyfile, swift.region))

    with HAProxy({"tls": Route(swift.port, "", f"bind 127.0.0.1:{port} ssl crt {chain}")}):
        with pytest.raises(StoreUnavailable, match=r"object storage localhost: .*certificate verify failed"):
            storage("localhost").put("1", b"x")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        with pytest.raises(StoreUnavailable, match=r"object storage 127\.0\.0\.1: .*certificate verify failed"):
            storage("127.0.0.1").put("1", b"x")
        there, text = storage("localhost"), noise(SEGMENT)
        for _ in range(2):
            there.put("1", text)
            assert there.get("1", 5, SEGMENT) == text[5:]
        there.delete("1")
        there.close()


@pytest.mark.parametrize(
    "text", [b"", b"key", b"key\n\n", b"k\xc3\xbcy\nsecret\n", b"k\x01\nsecret\n", b"\xff\nsecret\n"]
)
def test_a_file_that_has_no_keys_is_told(storage: Callable[..., Objects], text: bytes) -> None:
    there = storage()
    path = Path(there._place.keyfile)
    path.write_bytes(text)
    with pytest.raises(StoreUnavailable, match=str(path)) as raised:
        there.put("some/object", b"x")
    assert "secret\n" not in str(raised.value)
    path.unlink()
    with pytest.raises(StoreUnavailable, match=f"{path}: No such file"):
        there.put("some/object", b"x")


# --- deaths of ours


def dying_anywhere(
    tmp_path: Path, prepare: Callable[[Store], object], action: Callable[[Store], object]
) -> Iterator[tuple[Store, bool]]:
    """The account as others find it after `action` has died at each of its steps, and whether it had ended."""
    for number in range(MOST_STEPS):
        where = location("pgsql", tmp_path / f"mail{number}")
        prepare(open_store(where))
        ended = dies_at(number, lambda: action(open_store(where)))  # noqa: B023
        yield open_store(where), ended
        if ended:
            assert number > 2
            return
    raise AssertionError("the action makes more steps than the test follows")


def test_a_delivery_dying_anywhere_is_whole_or_absent_and_leaves_no_object(
    kind: str, tmp_path: Path, added: Callable[[], int]
) -> None:
    new = noise(pieces.PIECE + 5)
    batch = [Delivery(lambda: [new])]
    stored = 0
    for store, ended in dying_anywhere(tmp_path, lambda store: store.status(INBOX), lambda store: store.deliver(batch)):
        found = texts(store)
        assert found == [new] or (found == [] and not ended)
        age(store)
        stored += len(found)
        assert added() == stored * 2
        assert texts(store) == found


def test_bodies_cleared_away_by_one_that_dies_anywhere_are_gone_in_the_end(
    kind: str, tmp_path: Path, added: Callable[[], int]
) -> None:
    def prepare(store: Store) -> None:
        store.append(INBOX, [noise(pieces.PIECE + 5)])
        store.append(INBOX, [b"other"])
        with store.open(INBOX) as inbox:
            inbox.expunge([1])

    for number, (store, ended) in enumerate(dying_anywhere(tmp_path, prepare, age), 1):
        assert age(store) == 0 or not ended
        assert added() == number
        assert texts(store) == [b"other"]
