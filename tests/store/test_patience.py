"""Calls of stores that must not wait where they are."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.config.quota import Limits
from pillarbox.lib.store import apart, open_store, patience
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import FLAGGED, SEEN, MailboxBusy, Store
from pillarbox.lib.store.locks import dot_lock, fcntl_lock
from pillarbox.lib.store.maildir import mailbox, sync
from pillarbox.lib.store.maildir import store as maildir_store
from pillarbox.lib.store.patience import Later, waiting
from pillarbox.lib.store.quota import Quota
from tests.store.holder import Kind, held


def filled(tmp_path: Path, count: int = 3) -> Store:
    store = open_store(f"maildir:{tmp_path}/Maildir")
    for _ in range(count):
        appender = store.begin_append("INBOX")
        appender.write(b"Subject: x\r\n\r\nx\r\n")
        appender.commit(SEEN)
    return store


def rename(tmp_path: Path, uid: int, info: str) -> None:
    """Another program changes the flags of a message."""
    cur = tmp_path / "Maildir" / "cur"
    lines = (tmp_path / "Maildir" / "dovecot-uidlist").read_text().splitlines()
    base = next(line.partition(" :")[2] for line in lines if line.startswith(f"{uid} "))
    (name,) = (name for name in os.listdir(cur) if name.startswith(base))
    os.rename(cur / name, cur / f"{base}:2,{info}")


# --- in haste
def test_in_haste_a_lock_that_is_held_is_not_waited_for(tmp_path: Path) -> None:
    with held("dot", tmp_path / "x"), waiting(0), pytest.raises(Later), dot_lock(f"{tmp_path}/x.lock"):
        pass


def test_in_haste_a_record_lock_that_is_held_is_not_waited_for(tmp_path: Path) -> None:
    with held("fcntl", tmp_path / "x"), open(tmp_path / "x", "rb+") as file, waiting(0), pytest.raises(Later):
        fcntl_lock(file.fileno(), exclusive=True)


def test_a_lock_that_is_free_is_taken_in_haste(tmp_path: Path) -> None:
    with waiting(0), dot_lock(f"{tmp_path}/x.lock"):
        assert (tmp_path / "x.lock").exists()


def test_who_has_begun_waits_for_a_moment_and_is_told_that_it_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "IN_PLACE", 0.01)
    with held("dot", tmp_path / "x"), waiting(0):
        patience.begun()
        with pytest.raises(MailboxBusy) as raised, dot_lock(f"{tmp_path}/x.lock"):
            pass
    assert not isinstance(raised.value, Later), "the call would be done a second time"


def test_haste_ends_with_its_block() -> None:
    with waiting(0):
        patience.begun()
    patience.give_way()
    assert patience.limit(20) == 20


# --- what the stores do in haste
@pytest.mark.parametrize(
    ("kind", "file", "step"),
    [
        ("flock", "pillarbox-index", lambda box: box.set_flags((1,), "add", FLAGGED)),
        ("flock", "pillarbox-index", lambda box: box.expunge((1,))),
        ("dot", ".A/dovecot-uidlist", lambda box: box.copy((1,), "A")),
        ("dot", ".A/dovecot-uidlist", lambda box: box.move((1,), "A")),
    ],
)
def test_a_call_in_haste_changes_nothing_where_it_would_have_to_wait(
    tmp_path: Path, kind: Kind, file: str, step: Callable[[mailbox.MaildirMailbox], object]
) -> None:
    store = filled(tmp_path)
    store.create("A")
    store.status("A")
    root = tmp_path / "Maildir"
    with store.open("INBOX") as box:
        assert isinstance(box, mailbox.MaildirMailbox)
        before = [sorted(os.listdir(root / place)) for place in ("cur", ".A/cur", ".A/tmp")]
        with held(kind, root / file), waiting(0), pytest.raises(Later):
            step(box)
        assert [sorted(os.listdir(root / place)) for place in ("cur", ".A/cur", ".A/tmp")] == before
        with waiting(0):
            step(box)


@pytest.mark.parametrize("step", ["append", "copy", "expunge"])
def test_in_haste_the_count_of_a_domain_is_not_waited_for(tmp_path: Path, step: str) -> None:
    much = Limits(1 << 30, 1000)
    (tmp_path / "example.org").mkdir()
    store = open_store(f"maildir:{tmp_path}/example.org/ann", Quota(much, much, True, str(tmp_path)))
    appender = store.begin_append("INBOX")
    appender.write(b"Subject: x\r\n\r\nx\r\n")
    appender.commit()
    store.create("A")
    appender = store.begin_append("INBOX")
    appender.write(b"Subject: y\r\n\r\ny\r\n")
    with store.open("INBOX") as box:
        steps = {"append": appender.commit, "copy": lambda: box.copy((1,), "A"), "expunge": lambda: box.expunge((1,))}
        with held("flock", tmp_path / "example.org" / ".domainsize"), waiting(0), pytest.raises(Later):
            steps[step]()
        used = store.quota_root("Domain quota")
        assert used is not None and used.messages == 1
        steps[step]()
    appender.abort()
    used = store.quota_root("Domain quota")
    assert used is not None and used.messages == (0 if step == "expunge" else 2)


def test_a_large_mailbox_is_not_looked_at_in_haste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "LARGE", 2)
    with filled(tmp_path).open("INBOX") as box:
        rename(tmp_path, 2, "F")
        with waiting(0), pytest.raises(Later):
            box.refresh()
        assert [(each.uid, each.flags) for each in box.refresh().changed] == [(2, FLAGGED)]


def test_a_mailbox_that_cannot_be_opened_in_haste_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "LARGE", 2)
    store = filled(tmp_path)
    store.status("INBOX")
    gc.disable()
    try:
        before = os.listdir("/proc/self/fd")
        rename(tmp_path, 2, "F")
        with waiting(0), pytest.raises(Later):
            store.open("INBOX")
        assert os.listdir("/proc/self/fd") == before
    finally:
        gc.enable()


def test_a_conditional_change_that_has_begun_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "LARGE", 2)
    with filled(tmp_path).open("INBOX") as box:
        known = box.highest_modseq
        rename(tmp_path, 2, "F")  # which needs a look, when the first one has been changed
        with waiting(0):
            done = box.set_flags((1, 2, 3), "add", FLAGGED, unchanged_since=known)
        assert [each.uid for each in done.states] == [1, 3]
        assert done.modified == (2,)


def test_new_mail_is_recent_to_who_had_to_wait_for_its_uid(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.open("INBOX") as box:
        (tmp_path / "Maildir" / "new" / "1.new").write_bytes(b"Subject: y\n\ny\n")
        with held("dot", tmp_path / "Maildir" / "dovecot-uidlist"), waiting(0), pytest.raises(Later):
            box.refresh()
        assert [each.recent for each in box.refresh().new] == [True]


def test_many_messages_are_not_removed_in_haste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MANY", 2)
    with filled(tmp_path).open("INBOX") as box:
        with waiting(0), pytest.raises(Later):
            box.expunge((1, 2, 3))
        assert len(os.listdir(tmp_path / "Maildir" / "cur")) == 3


def test_what_a_quota_leaves_is_not_counted_in_haste(tmp_path: Path) -> None:
    store = filled(tmp_path)
    (tmp_path / "Maildir" / "maildirsize").write_bytes(b"9C\nbroken\n")
    appender = store.begin_append("INBOX")
    appender.write(b"Subject: y\r\n\r\ny\r\n")
    with waiting(0), pytest.raises(Later):
        appender.commit(SEEN)
    assert appender.commit(SEEN).uid == 4
    assert store.status("INBOX").messages == 4


def test_unknown_sizes_of_many_messages_are_not_found_out_in_haste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maildir_store, "MANY", 2)
    store = filled(tmp_path)
    for number in range(3):
        (tmp_path / "Maildir" / "new" / f"{number}.new").write_bytes(b"Subject: y\n\ny\n")
    with waiting(0), pytest.raises(Later):
        store.status("INBOX", with_size=True)
    assert store.status("INBOX", with_size=True).size > 0


# --- in a thread
def test_what_needs_no_waiting_needs_no_thread() -> None:
    assert asyncio.run(patiently(threading.current_thread)) is threading.current_thread()


def test_what_would_have_to_wait_is_done_again_in_a_thread() -> None:
    calls = []

    def work() -> str:
        calls.append(threading.current_thread())
        patience.give_way()
        return "done"

    assert asyncio.run(patiently(work)) == "done"
    assert len(calls) == 2 and calls[1] is not threading.current_thread()


def test_what_fails_in_a_thread_is_raised_to_the_caller() -> None:
    def work() -> None:
        patience.give_way()
        raise MailboxBusy("in use")

    with pytest.raises(MailboxBusy, match="in use"):
        asyncio.run(patiently(work))


def test_a_call_is_ended_before_a_cancelled_task_goes_on() -> None:
    began, go_on = threading.Event(), threading.Event()
    ended = []

    def work() -> None:
        patience.give_way()
        began.set()
        go_on.wait(20)
        ended.append(True)

    async def cancel() -> None:
        task = asyncio.create_task(patiently(work))
        while not began.is_set():
            await asyncio.sleep(0)
        for _ in range(2):  # impatiently
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended, "the store would be closed under the call"


def test_there_are_only_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "THREADS", 2)
    monkeypatch.setattr(apart, "longest", 0.1)
    go_on = threading.Event()

    async def crowd() -> None:
        tasks = [asyncio.create_task(apart.apart(lambda: go_on.wait(20))) for _ in range(3)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [type(task.exception()) for task in done] == [MailboxBusy]
        go_on.set()
        assert [await task for task in tasks if task not in done] == [True, True]

    asyncio.run(crowd())


def test_who_has_many_waiting_leaves_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "OF_ONE", 2)
    go_on = threading.Event()
    begun: list[int] = []

    def wait() -> bool:
        begun.append(1)
        return go_on.wait(20)

    async def of(name: str, call: Callable[[], object]) -> object:
        apart.account(name)
        return await apart.apart(call)

    async def crowd() -> None:
        waiting = [asyncio.create_task(of("ann", wait)) for _ in range(100)]
        assert await of("bob", lambda: "done") == "done"
        assert len(begun) <= 2
        assert not any(task.done() for task in waiting)
        go_on.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(crowd())


def test_a_thread_that_has_not_ended_yet_keeps_nothing_of_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        """As a mailbox, which holds a descriptor."""

    go_on = threading.Event()

    async def dialogue() -> None:
        loop = asyncio.get_running_loop()
        tell = loop.call_soon_threadsafe

        def slowly(*args: object) -> None:
            tell(*args)  # type: ignore[arg-type]
            if threading.current_thread() is not threading.main_thread():
                go_on.wait(20)

        monkeypatch.setattr(loop, "call_soon_threadsafe", slowly)
        opened = await apart.apart(Opened)
        gone = weakref.ref(opened)
        del opened
        assert gone() is None

    gc.disable()
    try:
        asyncio.run(dialogue())
    finally:
        gc.enable()
        go_on.set()
