"""A call that finds a lock held, whichever of those that it takes, and is done again: as if it had been done once.

Each call is done with its first lock held, with its second, and so on.  What it had begun then is not begun anew, and
what it had not begun leaves nothing: no message twice, no UID without one, nothing counted twice.
"""

from __future__ import annotations

import errno
import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pillarbox.lib.config.quota import Limits
from pillarbox.lib.store import locks, metadata, open_store, patience
from pillarbox.lib.store.interface import DELETED, FLAGGED, INBOX, SEEN, Mailbox, Store, StoreError
from pillarbox.lib.store.patience import Later, in_haste
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import pool, postgres, sqlite
from tests.store.conftest import location

MUCH: Final = Limits(1 << 30, 1000)


def opened(base: Path, kind: str) -> Store:
    place = {
        "maildir": f"maildir:{base}/example.org/ann",
        "mbox": f"mbox:{base}/mail:INBOX={base}/inbox",
        "sqlite": f"sqlite:{base}/example.org/ann/mail.sqlite",
        "pgsql": location(kind, base) if kind == "pgsql" else "",
    }[kind]
    return open_store(place, Quota(MUCH, MUCH, True, str(base)))


def stored(store: Store, name: str, number: int, *flags: int) -> int:
    appender = store.begin_append(name)
    appender.write(b"Subject: letter %d\r\n\r\nText %d\r\n" % (number, number))
    return appender.commit(sum(flags), ("Old",) if number == 1 else ()).uid


class Case(NamedTuple):
    """A store with INBOX open, about to be asked for something."""

    base: Path
    store: Store
    box: Mailbox


def ready(base: Path, kind: str) -> Case:
    base.mkdir()
    (base / "example.org").mkdir()
    store = opened(base, kind)
    for number in (1, 2, 3):
        stored(store, INBOX, number, DELETED if number == 3 else SEEN)
    store.create("A")
    stored(store, "A", 4)
    store.status("A")
    return Case(base, store, store.open(INBOX))


def with_more(case: Case) -> None:
    """Somebody else changes what is open."""
    other = opened(case.base, case.store.location.partition(":")[0])
    stored(other, INBOX, 5)
    with other.open(INBOX) as box:
        box.set_flags((2,), "add", FLAGGED)
    other.close()


def append(case: Case) -> Callable[[], object]:
    appender = case.store.begin_append(INBOX)
    appender.write(b"Subject: letter 6\r\n\r\nText 6\r")
    return lambda: appender.commit(FLAGGED, ("New",))


CALLS: Final[dict[str, Callable[[Case], Callable[[], object]]]] = {
    "append": append,
    "copy": lambda case: lambda: case.store.transfer(case.box, (1, 3), "A", move=False),
    "move": lambda case: lambda: case.store.transfer(case.box, (1, 3), "A", move=True),
    "expunge": lambda case: lambda: case.box.expunge((1, 3)),
    "set flags": lambda case: lambda: case.box.set_flags((1, 2), "add", FLAGGED, ("Other",)),
    "replace flags": lambda case: lambda: case.box.set_flags((1, 2), "replace", FLAGGED, ("Other",)),
    "take away flags": lambda case: lambda: case.box.set_flags((1, 2, 3), "remove", SEEN),
    "refresh": lambda case: (with_more(case), case.box.refresh)[1],
    "open": lambda case: lambda: case.store.open("A").messages.uids[-1],
    "status": lambda case: (with_more(case), lambda: case.store.status(INBOX).messages)[1],
    "create": lambda case: lambda: case.store.create("B"),
    "delete": lambda case: lambda: case.store.delete("A"),
    "rename": lambda case: lambda: case.store.rename("A", "B"),
    "rename inbox": lambda case: lambda: case.store.rename(INBOX, "B"),
    "subscribe": lambda case: lambda: case.store.subscribe("A", True),
    "take back": lambda case: lambda: case.store.take_back("A", (1,)),
    "set metadata": lambda case: lambda: metadata.change(case.store, "A", {"/private/comment": b"x"}),
}


@contextmanager
def held_at(monkeypatch: pytest.MonkeyPatch, place: int) -> Iterator[list[int]]:
    """Within, the lock that a call comes to as number `place` is not to be had.  Gives how many it came to."""
    came = [0]

    def unless_held(take: Callable[..., Any], held: Callable[[], Any], *arguments: Any, **named: Any) -> Any:
        came[0] += 1
        return held() if came[0] == place else take(*arguments, **named)

    def blocking() -> None:
        raise BlockingIOError(errno.EAGAIN, "held")

    def busy() -> None:
        raise patience.busy("held")

    flock = fcntl.flock

    def flocked(fd: int, kind: int) -> None:
        if kind & fcntl.LOCK_NB:
            unless_held(flock, blocking, fd, kind)
        else:
            flock(fd, kind)  # of a file that nobody knows yet

    with monkeypatch.context() as patch:
        patch.setattr(patience, "limit", lambda _: 0)  # each lock is tried once
        patch.setattr(locks, "try_dot_lock", partial(unless_held, locks.try_dot_lock, lambda: False))
        patch.setattr(fcntl, "fcntl", partial(unless_held, fcntl.fcntl, blocking))
        patch.setattr(fcntl, "flock", flocked)
        for database in (sqlite, postgres, pool):
            patch.setattr(database, "limit", lambda _: unless_held(lambda: 0, busy))
        yield came


def plain(result: object) -> str:
    """What a call gave, but for what differs from one mailbox to the next."""
    return re.sub(r"(uid_validity|modseq)=\d+", "", repr(result))


def outcome(case: Case, kind: str) -> object:
    """All that there is now, as another session sees it."""
    case.box.close()
    case.store.close()
    store = opened(case.base, kind)
    boxes = {}
    for entry in store.list():
        with store.open(entry.name, read_only=True) as box:
            rows = []
            for state in box.messages:
                with box.read(state.uid) as content:
                    rows.append((state.uid, state.flags, sorted(state.keywords), b"".join(content.chunks())))
            boxes[entry.name] = rows, box.uid_next
    roots = store.quota_roots(INBOX)
    about = boxes, roots, store.subscriptions(), store.note("A", "metadata") if "A" in boxes else b""
    store.close()
    return about


@pytest.mark.parametrize("name", CALLS)
def test_done_again_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    before = outcome(ready(tmp_path / "before", kind), kind)
    case = ready(tmp_path / "after", kind)
    wanted = CALLS[name](case)()
    after = outcome(case, kind)
    for place in range(1, 40):
        case = ready(tmp_path / str(place), kind)
        call = CALLS[name](case)
        later = False
        with held_at(monkeypatch, place) as came:
            try:
                result = in_haste(call)
            except Later:
                later = True
        if later:
            result = call()
        assert outcome(case, kind) == after, f"lock {place}"
        assert plain(result) == plain(wanted)
        if came[0] < place:
            break
    else:
        pytest.fail("it takes locks without end")
    if name == "rename inbox":
        return  # two steps, of which the first may stand
    for place in range(1, came[0] + 1):  # who waits in vain has done nothing
        case = ready(tmp_path / f"patient{place}", kind)
        call = CALLS[name](case)
        done = True
        with held_at(monkeypatch, place):
            try:
                call()
            except StoreError:
                done = False
        found = outcome(case, kind)
        assert found == after if done else found in (before, after), f"lock {place}"
