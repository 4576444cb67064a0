"""What stores in databases promise beyond `test_conformance`: one body for each content, counts that agree with what is
there, modification sequences, quotas, notes, and a large message that is never whole in memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.lib.config.quota import FolderRule, Limits
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import (
    DELETED,
    FLAGGED,
    INBOX,
    SEEN,
    MailboxNotFound,
    MessageGone,
    OverQuota,
    StoreUnavailable,
)
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import pieces, tables
from pillarbox.lib.store.sql.append import SqlAppender
from pillarbox.lib.store.sql.database import Database, Transaction
from pillarbox.lib.store.sql.postgres import PostgresTransaction
from pillarbox.lib.store.sql.sqlite import SqliteTransaction
from pillarbox.lib.store.sql.store import SqlStore
from tests.store.conftest import close_pools, sql_database, use_postgresql

Reopen = Callable[[], SqlStore]


@pytest.fixture(params=["sqlite", "pgsql"])
def database(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """Makes connections of an account's own to one database."""
    if request.param == "pgsql":
        use_postgresql(request.getfixturevalue("postgresql"))
    made: list[Database] = []

    def make() -> Database:
        made.append(sql_database(request.param, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()
    close_pools()


@pytest.fixture
def reopen(database: Callable[[], Database]) -> Reopen:
    return lambda: SqlStore("sql:", database())


@pytest.fixture
def store(reopen: Reopen) -> SqlStore:
    return reopen()


def letter(subject: str, size: int = 10) -> bytes:
    return b"Subject: " + subject.encode() + b"\r\n\r\n" + b"x" * size + b"\r\n"


def add(store: SqlStore, *subjects: str, mailbox: str = INBOX) -> list[int]:
    return [store.append(mailbox, [letter(subject)]).uid for subject in subjects]


def rows(store: SqlStore, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store._database.single(statement, store._database.account)]


def check(store: SqlStore) -> None:
    """Every count agrees with what it counts."""
    for mailbox, messages, unseen, deleted, size in rows(
        store, "SELECT mailbox, messages, unseen, deleted, size FROM mailboxes WHERE account = ?1"
    ):
        there = [
            (flags, octets)
            for number, flags, octets in rows(store, "SELECT mailbox, flags, size FROM messages WHERE account = ?1")
            if number == mailbox
        ]
        flags = [each for each, _ in there]
        assert (messages, unseen, deleted, size) == (
            len(there),
            tables.unseen(flags),
            tables.deleted(flags),
            sum(octets for _, octets in there),
        )
    used: dict[int, int] = {}
    for (body,) in rows(store, "SELECT body FROM messages WHERE account = ?1"):
        used[body] = used.get(body, 0) + 1
    bodies = {
        body: (refs, unused)
        for body, refs, unused in rows(store, "SELECT body, refs, unused_since FROM bodies WHERE account = ?1")
    }
    assert {body: refs for body, (refs, _) in bodies.items() if refs} == used
    assert all((refs == 0) == (unused > 0) for refs, unused in bodies.values())


# --- bodies


def test_the_same_content_is_stored_once(store: SqlStore) -> None:
    text = letter("news", 400_000)
    store.create("Copies")
    first = store.append(INBOX, [text]).uid
    store.append(INBOX, [text[:9], text[9:]])
    with store.open(INBOX) as inbox:
        inbox.copy([first], "Copies")
    store.append("Copies", [text.replace(b"\r\n", b"\n")])
    assert rows(store, "SELECT refs, size FROM bodies WHERE account = ?1") == [(4, len(text))]
    check(store)


def test_a_body_stays_while_a_message_has_it_and_for_a_while_after(store: SqlStore, reopen: Reopen) -> None:
    store.create("Copies")
    (uid,) = add(store, "one")
    with store.open(INBOX) as inbox:
        inbox.copy([uid], "Copies")
        inbox.expunge([uid])
    with store.open("Copies") as copies, copies.read(1) as content:
        assert content.read() == letter("one")
        opened = copies.read(1)
        copies.expunge([1])
        assert opened.read() == letter("one")
    check(store)
    with store._database.writing(durable=True) as transaction:
        assert pieces.clear_unused(transaction) == 0
        transaction.execute(
            "UPDATE bodies SET unused_since = ?2 WHERE account = ?1 AND refs = 0",
            transaction.account,
            int(time.time()) - 2 * pieces.UNUSED_KEPT,
        )
        assert pieces.clear_unused(transaction) == 1
    assert rows(store, "SELECT body FROM pieces WHERE account = ?1") == []


def test_a_content_that_comes_again_takes_up_the_body_that_was_left(store: SqlStore) -> None:
    (uid,) = add(store, "one")
    with store.open(INBOX) as inbox:
        inbox.expunge([uid])
    add(store, "one")
    assert rows(store, "SELECT refs, unused_since FROM bodies WHERE account = ?1") == [(1, 0)]
    check(store)


@pytest.mark.parametrize("size", [pieces.PIECE - 1, pieces.PIECE, pieces.PIECE + 1, pieces.PIECE * 5 + 7])
@pytest.mark.parametrize("kind", ["text", "noise"])
def test_a_message_of_any_number_of_pieces_comes_back(store: SqlStore, size: int, kind: str) -> None:
    text = b"abc\r\n" * (size // 5 + 1) if kind == "text" else random.Random(size).randbytes(size).replace(b"\n", b"")
    text = text[:size].replace(b"\r", b".") if kind == "noise" else text[: size - size % 5] + b"x" * (size % 5)
    uid = store.append(INBOX, [text[place : place + 50_000] for place in range(0, len(text), 50_000)]).uid
    with store.open(INBOX) as inbox, inbox.read(uid) as content:
        assert content.size == len(text)
        assert content.read() == text
        for start in (0, 1, pieces.PIECE - 3, pieces.PIECE, len(text) - 5):
            assert content.read(start, 11) == text[start : start + 11]
        assert max(map(len, content.chunks())) <= 131072
    check(store)


def test_a_large_message_is_never_whole_in_memory(store: SqlStore) -> None:
    noise = random.Random(1)
    store.open(INBOX).close()
    tracemalloc.start()
    uid = store.append(INBOX, (noise.randbytes(64 * 1024) for _ in range(320))).uid
    with store.open(INBOX) as inbox, inbox.read(uid) as content:
        for _ in content.chunks():
            pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 << 20, "a message of 20 MB is held in much less"


def test_a_large_message_given_up_leaves_nothing(store: SqlStore) -> None:
    appender = store.begin_append(INBOX)
    appender.write(random.Random(2).randbytes(pieces.PIECE * 9))
    assert rows(store, "SELECT refs FROM bodies WHERE account = ?1") == [(0,)]
    appender.abort()
    assert rows(store, "SELECT body FROM pieces WHERE account = ?1") == []
    assert rows(store, "SELECT body FROM bodies WHERE account = ?1") == []


def test_a_large_message_whose_sender_died_is_cleared_away_after_a_day(store: SqlStore) -> None:
    store.begin_append(INBOX).write(random.Random(3).randbytes(pieces.PIECE * 9))
    with store._database.writing(durable=True) as transaction:
        assert pieces.clear_unused(transaction) == 0, "its sender may still be at it"
        transaction.execute(
            "UPDATE bodies SET unused_since = unused_since - ?2 WHERE account = ?1",
            transaction.account,
            pieces.UPLOAD_KEPT + pieces.UNUSED_KEPT + 5,
        )
        assert pieces.clear_unused(transaction) == 1


def test_a_damaged_piece_fails_its_message_only(store: SqlStore) -> None:
    one, two = add(store, "one" * 100, "two" * 100)
    with store._database.writing(durable=True) as transaction:
        (body,) = transaction.rows(
            "SELECT body FROM messages WHERE account = ?1 AND uid = ?2", transaction.account, one
        )[0]
        transaction.execute(
            "UPDATE pieces SET form = 1, data = ?3 WHERE account = ?1 AND body = ?2", transaction.account, body, b"?"
        )
    with store.open(INBOX) as inbox:
        with pytest.raises(StoreUnavailable, match="damaged"):
            inbox.read(one)
        with inbox.read(two) as content:
            assert content.read() == letter("two" * 100)


# --- modification sequences


def test_changed_since_names_exactly_what_changed(store: SqlStore, reopen: Reopen) -> None:
    one, two, three, four, five = add(store, "1", "2", "3", "4", "5")
    with store.open(INBOX) as inbox:
        before = inbox.highest_modseq
        assert before == store.status(INBOX).highest_modseq
        inbox.set_flags([two], "add", SEEN)
        inbox.expunge([three, four])
        since = inbox.changed_since(before)
        assert [state.uid for state in since.changed] == [two]
        assert since.vanished == ((three, four),)
        assert inbox.highest_modseq > since.changed[0].modseq > before
        assert inbox.changed_since(inbox.highest_modseq) == type(since)((), ())
    with reopen().open(INBOX) as again:
        assert again.changed_since(before).vanished == ((three, four),)
        assert [each.uid for each in again.changed_since(0).changed] == [one, two, five]


def test_what_was_expunged_long_ago_is_told_by_the_gaps(store: SqlStore) -> None:
    _, two, _ = add(store, "1", "2", "3")
    with store.open(INBOX) as inbox:
        before = inbox.highest_modseq
        inbox.expunge([two])
        with store._database.writing(durable=True) as transaction:
            transaction.execute("DELETE FROM expunged WHERE account = ?1", transaction.account)
            transaction.execute("UPDATE mailboxes SET expunged_to = modseq WHERE account = ?1", transaction.account)
        assert inbox.changed_since(before).vanished == ((two, two),)
    with store.open(INBOX) as inbox, store.open(INBOX) as other:
        other.expunge([1])
        with store._database.writing(durable=True) as transaction:
            transaction.execute("DELETE FROM expunged WHERE account = ?1", transaction.account)
            transaction.execute("UPDATE mailboxes SET expunged_to = modseq WHERE account = ?1", transaction.account)
        assert inbox.refresh().expunged == (1,)


def test_a_message_that_changed_after_unchanged_since_is_passed_over(store: SqlStore, reopen: Reopen) -> None:
    one, two = add(store, "1", "2")
    with store.open(INBOX) as inbox, reopen().open(INBOX) as other:
        known = inbox.highest_modseq
        other.set_flags([one], "add", FLAGGED)
        done = inbox.set_flags([one, two], "add", SEEN, unchanged_since=known)
        assert [state.uid for state in done.states] == [two]
        assert done.modified == (one,)
        changes = inbox.refresh()
        assert [(state.uid, state.flags) for state in changes.changed] == [(one, FLAGGED)]


def test_modification_sequences_ascend_over_mailboxes_and_sessions(store: SqlStore, reopen: Reopen) -> None:
    store.create("Other")
    seen = []
    for step in range(6):
        add(reopen(), f"{step}", mailbox=INBOX if step % 2 else "Other")
        seen.append(max(store.status(name).highest_modseq for name in (INBOX, "Other")))
    assert seen == sorted(set(seen))


def test_a_flag_that_is_there_already_changes_no_modification_sequence(store: SqlStore) -> None:
    (uid,) = add(store, "1")
    with store.open(INBOX) as inbox:
        (first,) = inbox.set_flags([uid], "add", SEEN, {"Word"}).states
        (second,) = inbox.set_flags([uid], "add", SEEN, {"word"}).states
        assert first == second


def test_dates_and_ids(store: SqlStore) -> None:
    before = time.time() - 1
    text = letter("x")
    store.create("Copies")
    uid = store.append(INBOX, [text], internal_date=1_500_000_000.25).uid
    with store.open(INBOX) as inbox:
        inbox.copy([uid], "Copies")
        assert inbox.internal_date(uid) == 1_500_000_000.25
        saved = inbox.save_date(uid)
        assert saved is not None and before < saved < time.time() + 1
        with store.open("Copies") as copies:
            assert copies.email_id(1) == inbox.email_id(uid)
            assert copies.mailbox_id != inbox.mailbox_id
        (other,) = add(store, "other")
        inbox.refresh()
        assert inbox.email_id(other) != inbox.email_id(uid)
        inbox.expunge([uid])
        with pytest.raises(MessageGone):
            inbox.save_date(uid)
        known = inbox.mailbox_id
    store.rename("Copies", "Far")
    with store.open("Far") as far:
        assert far.mailbox_id != known


# --- columns


def test_the_snapshot_has_columns_that_agree_with_its_rows(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.lib.store.sql.mailbox._BATCH", 3)
    uids = add(store, *"abcdefgh")
    with store.open(INBOX) as inbox:
        inbox.set_flags(uids[:3], "add", SEEN, {"One", "Two"})
        inbox.set_flags(uids[2:5], "add", DELETED)
        inbox.expunge([uids[3]])
    with store.open(INBOX) as inbox:
        messages = inbox.messages
        assert list(messages.uids) == [uid for uid in uids if uid != uids[3]]
        assert [(state.flags, state.keywords, state.recent) for state in messages] == [
            tuple(messages.meaning(mark)) for mark in messages.marks()
        ]
        assert list(messages.modseqs(2, 4)) == [state.modseq for state in messages[2:4]]
        assert list(messages.sizes()) == [inbox.size(uid) for uid in messages.uids]
        assert list(messages.dates()) == [inbox.internal_date(uid) for uid in messages.uids]
        status = store.status(INBOX)
        counts = messages.counts()
        assert counts[:4] == (status.messages, status.recent, status.unseen, status.deleted)
        assert (counts.size, counts.first_unseen) == (status.size, 3)
        assert messages.position(uids[3]) is None


def test_flag_sets_that_no_message_has_any_more_are_forgotten(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.lib.store.sql.snapshot._MEANINGS", 8)
    one, two = add(store, "1", "2")
    with store.open(INBOX) as inbox:
        inbox.set_flags([two], "add", FLAGGED, {"kept"})
        for number in range(40):
            inbox.set_flags([one], "replace", SEEN, {f"word{number}"})
        assert len(inbox.messages._known) < 20
        assert [(state.flags, state.keywords) for state in inbox.messages] == [
            (SEEN, {"word39"}),
            (FLAGGED, {"kept"}),
        ]


def test_keywords_that_no_message_has_make_room(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "KEYWORDS_MOST", 3)
    (uid,) = add(store, "1")
    with store.open(INBOX) as inbox:
        inbox.set_flags([uid], "add", 0, {"a", "b", "c"})
        assert not inbox.accepts_new_keywords
        inbox.set_flags([uid], "remove", 0, {"b"})
        (state,) = inbox.set_flags([uid], "add", 0, {"d"}).states
        assert state.keywords == {"a", "c", "d"}


# --- quota and notes


def test_a_quota_holds_for_appends_and_copies_not_for_moves(database: Callable[[], Database]) -> None:
    size = len(letter("1"))
    quota = Quota(Limits(size * 2, 0), rules=(FolderRule("Spam", ignore=True), FolderRule("Trash", percent=100)))
    store = SqlStore("sql:", database(), quota)
    for name in ("Spam", "Trash", "Work"):
        store.create(name)
    add(store, "1", "2")
    with pytest.raises(OverQuota):
        add(store, "3")
    add(store, "3", mailbox="Spam")
    add(store, "3", mailbox="Trash")
    with store.open(INBOX) as inbox, store.open("Spam") as spam:
        with pytest.raises(OverQuota):
            inbox.copy([1], "Work")
        with pytest.raises(OverQuota):
            spam.move([1], "Work")
        inbox.move([1], "Work")
    (root,) = store.quota_roots(INBOX)
    assert (root.size, root.size_limit, root.messages) == (size * 3, size * 2, 3)
    assert store.quota_roots("Spam") == ()
    check(store)


def test_notes_go_with_their_mailbox(store: SqlStore) -> None:
    store.create("Work")
    store.change_note("Work", "acl", lambda _: b"of work")
    store.change_note("", "metadata", lambda before: before + b"of the account")
    store.rename("Work", "Play")
    assert store.note("Play", "acl") == b"of work"
    assert store.note("", "metadata") == b"of the account"
    store.delete("Play")
    store.create("Play")
    assert store.note("Play", "acl") == b""
    store.change_note("", "metadata", lambda _: b"")
    assert store.note("", "metadata") == b""
    with pytest.raises(MailboxNotFound):
        store.note("Gone", "acl")


# --- deliveries, checks


def test_a_batch_is_one_transaction(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    writing = store._database.writing
    monkeypatch.setattr(store._database, "writing", lambda **how: begun.append(how) or writing(**how))
    assert store.deliver([Delivery(lambda number=number: [letter(str(number))]) for number in range(20)]) == [None] * 20
    assert begun == [{"durable": True}]
    assert store.status(INBOX).messages == 20
    check(store)


def test_what_has_no_room_waits_or_bounces_and_the_others_are_stored(database: Callable[[], Database]) -> None:
    size = len(letter("1"))
    for tempfail, dsn in ((True, "4.2.2"), (False, "5.2.2")):
        store = SqlStore("sql:", database(), Quota(Limits(size * 2, 0), tempfail=tempfail))
        outcomes = store.deliver([Delivery(lambda number=number: [letter(str(number))]) for number in range(3)])
        if tempfail:
            assert outcomes[:2] == [None, None]
        assert outcomes[2] is not None and outcomes[2].dsn == dsn
        assert store.status(INBOX).messages == 2
        check(store)


def test_a_batch_that_cannot_be_committed_waits_as_a_whole(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.open(INBOX).close()

    def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(tables, "count", broken)
        outcomes = store.deliver([Delivery(lambda: [letter("x")]), Delivery(lambda: [letter("y")])])
    assert [outcome is not None and outcome.dsn for outcome in outcomes] == ["4.2.0", "4.2.0"]
    assert store.status(INBOX).messages == 0
    check(store)


def test_wrong_counts_are_found_and_mended(store: SqlStore) -> None:
    store.create("Work")
    one, *_ = add(store, "1", "2", "3")
    with store.open(INBOX) as inbox:
        inbox.set_flags([one], "add", SEEN | DELETED)
    assert list(store.check(mend=False)) == []
    with store._database.writing(durable=True) as transaction:
        for statement in (
            "UPDATE mailboxes SET messages = 7, unseen = 9, uid_next = 2 WHERE account = ?1 AND name = 'INBOX'",
            "UPDATE bodies SET refs = refs + 1 WHERE account = ?1",
            "INSERT INTO pieces SELECT account, 1, 0, 0, data FROM pieces WHERE account = ?1 LIMIT 1",
        ):
            transaction.execute(statement, transaction.account)
    found = list(store.check(mend=False))
    assert [(each.mailbox, each.harmless, each.mended) for each in found] == [
        (INBOX, False, False),
        ("", True, False),
        ("", True, False),
    ]
    assert [each.mended for each in store.check(mend=True)] == [True] * 3
    assert list(store.check(mend=False)) == []
    check(store)
    assert add(store, "4") == [4]


def test_a_content_that_is_not_all_there_is_found(store: SqlStore) -> None:
    add(store, "1")
    with store._database.writing(durable=True) as transaction:
        transaction.execute("DELETE FROM pieces WHERE account = ?1", transaction.account)
    (finding,) = store.check(mend=True)
    assert (finding.mailbox, finding.mended) == (INBOX, False)
    assert "message 1" in finding.what


# --- anything at all


_STEP = st.tuples(
    st.sampled_from(["append", "flag", "expunge", "copy", "move", "refresh", "other", "delete", "rename"]),
    st.integers(0, 7),
    st.integers(0, 3),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(_STEP, min_size=5, max_size=25))
def test_after_any_steps_views_and_counts_agree_with_what_is_there(
    database: Callable[[], Database], steps: list[tuple[str, int, int]]
) -> None:
    store, second = SqlStore("sql:", database()), SqlStore("sql:", database())
    names = [INBOX, "A", "B"]
    for name in names[1:]:
        if not store.exists(name):
            store.create(name)
    views = [store.open(INBOX), second.open(INBOX)]
    for step, number, which in steps:
        view = views[which % 2]
        uids = list(view.messages.uids)
        chosen = uids[number % len(uids) :][:2] if uids else []
        target = names[which % 3]
        match step:
            case "append":
                store.append(target, [letter(str(number % 3))])
            case "flag":
                view.set_flags(chosen, "add" if which % 2 else "remove", 1 << number % 5, {f"w{which}"})
            case "expunge":
                view.expunge(chosen)
            case "copy":
                view.copy(chosen, target)
            case "move":
                view.move(chosen, target)
            case "refresh":
                before = list(view.messages.uids)
                changes = view.refresh()
                assert [uid for uid in before if uid not in changes.expunged] + [
                    state.uid for state in changes.new
                ] == list(view.messages.uids)
            case "other":
                second.append(INBOX, [letter(str(number))])
            case "delete":
                store.delete("B")
                store.create("B")
            case "rename":
                store.rename("A", "C")
                store.rename("C", "A")
    check(store)
    assert list(store.check(mend=False)) == []
    for view in views:
        view.refresh()
        with second.open(INBOX, read_only=True) as fresh:
            shown, there = ([state._replace(recent=False) for state in each.messages] for each in (view, fresh))
            assert shown == there
            assert view.uid_next == fresh.uid_next
            assert view.highest_modseq == fresh.highest_modseq
        view.close()
    for each in (store, second):
        each.close()


def test_a_batch_on_which_the_databases_disk_becomes_full_waits_as_a_whole(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqlAppender.store
    calls: list[SqlAppender] = []

    def full(self: SqlAppender, transaction: Transaction, *others: Any, **named: Any) -> Any:
        calls.append(self)
        done = real(self, transaction, *others, **named)
        if len(calls) == 2:
            try:
                transaction.execute("INSERT INTO nowhere VALUES (1)")
            except Exception as error:
                raise OverQuota("no space left") from error
        return done

    monkeypatch.setattr(SqlAppender, "store", full)
    outcomes = store.deliver([Delivery(lambda number=number: [b"Subject: %d\n\n" % number]) for number in range(2)])  # type: ignore[misc]
    assert [outcome is not None and outcome.dsn for outcome in outcomes] == ["4.3.1", "4.3.1"]
    assert store.status(INBOX).messages == 0


def test_how_many_statements_things_take(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a round trip to a server: what grows with the mailbox or the batch is seen here."""
    store.append(INBOX, [letter("0")])
    asked: list[str] = []

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: object, statement: str, *values: Any) -> Any:
            asked.append(statement)
            return real(self, statement, *values)

        return call

    for kind in (SqliteTransaction, PostgresTransaction):
        for name in ("rows", "execute"):
            monkeypatch.setattr(kind, name, counted(getattr(kind, name)))

    def taken(action: Callable[[], object]) -> int:
        asked.clear()
        action()
        return len(asked)

    with store.open(INBOX) as inbox:
        assert taken(lambda: add(store, "1")) <= 10
        assert taken(lambda: store.deliver([Delivery(lambda: [letter("2")])])) <= 10
        many = [Delivery(lambda number=number: [letter(f"many {number}")]) for number in range(40)]  # type: ignore[misc]
        assert taken(lambda: store.deliver(many)) <= 10 + 5 * len(many)
        assert taken(inbox.refresh) <= 6
        uids = list(inbox.messages.uids)
        assert len(uids) == 43
        assert taken(lambda: inbox.set_flags(uids, "add", SEEN)) <= 8
        assert taken(lambda: inbox.set_flags([1], "add", FLAGGED)) <= 8
        assert taken(lambda: inbox.copy(uids, INBOX)) <= 12
        assert taken(lambda: inbox.expunge(uids)) <= 14
    assert taken(lambda: store.open(INBOX).close()) <= 8
    assert taken(lambda: store.status(INBOX)) <= 1
