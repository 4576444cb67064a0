"""The quota of a domain, whatever stores its accounts have: it counts what lies there, and tells who is asked."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config.quota import NO_LIMITS, Limits, parse_rule
from pillarbox.lib.store import domain_file, open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.domain_file import BELIEVED, DOMAIN_FILE, LONG, DomainFile, DomainRecord
from pillarbox.lib.store.interface import INBOX, OverQuota, Store
from pillarbox.lib.store.quota import DOMAIN_ROOT, MAILBOX_ROOT, Quota, Usage
from pillarbox.lib.store.sql import totals
from tests.feeding import truncations
from tests.store.conftest import _place, close_pools, use_postgresql

RULES = (parse_rule("Spam", "ignore"),)
MUCH = Limits(1 << 40, 0)
Opener = Callable[[str], Store]


class Domain:
    """Accounts of one domain, the first letter of whose names tells what store they have."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.name = f"{base.name.replace('_', '-')}.test"
        self.opened: list[Store] = []

    def open(self, account: str, domain: Limits | None = None, own: Limits | None = MUCH) -> Store:
        home = f"{self.base}/{self.name}/{account}"
        place = {
            "m": f"maildir:{home}",
            "s": f"sqlite:{home}/mail.sqlite",
            "p": f"pgsql:{_place[0]}#{account}@{self.name}" if _place else "",
        }[account[0]]
        self.opened.append(open_store(place, Quota(own, domain, True, str(self.base), RULES)))
        return self.opened[-1]

    def used(self, account: str) -> Usage:
        """What the domain's count says, as a session of the account sees it."""
        return self.root(account, DOMAIN_ROOT)

    def root(self, account: str, name: str) -> Usage:
        found = self.open(account).quota_root(name)
        return Usage(found.size, found.messages) if found is not None else Usage(-1, -1)


@pytest.fixture(params=["m", "s", "p", "ms"])
def letters(request: pytest.FixtureRequest) -> str:
    """The kinds of store in the domain; Maildirs and SQLite count together."""
    if request.param == "p":
        use_postgresql(request.getfixturevalue("postgresql"))
    return str(request.param)


@pytest.fixture
def domain(tmp_path: Path, letters: str) -> Iterator[Domain]:
    made = Domain(tmp_path)
    yield made
    for each in made.opened:
        each.close()
    close_pools()


def letter(size: int) -> bytes:
    return b"x" * (size - 2) + b"\r\n"


def deliver(store: Store, *sizes: int, mailbox: str = INBOX) -> list[str]:
    batch = [
        Delivery(content=lambda size=size: [letter(size)], mailbox=mailbox, create=True)  # type: ignore[misc]
        for size in sizes
    ]
    return ["" if outcome is None else outcome.dsn for outcome in store.deliver(batch)]


def test_a_domain_is_full_for_all_its_accounts(domain: Domain, letters: str) -> None:
    limits = Limits(0, 5)
    ann, bob = (domain.open(name, limits) for name in (f"{letters[0]}ann", f"{letters[-1]}bob"))
    assert deliver(ann, 100, 100, 100) == ["", "", ""]
    assert deliver(bob, 100, 100, 100) == ["", "", "5.2.2"], "also within a batch"
    assert bob.lacks(INBOX, 10) == ann.lacks(INBOX, 10) == "the quota of the domain is used up"
    newcomer = domain.open(f"{letters[0]}new", limits)
    assert newcomer.lacks(INBOX, 10) == "the quota of the domain is used up"
    assert deliver(ann, 100, mailbox="Spam") == [""], "does not count"
    with pytest.raises(OverQuota):
        domain.open(f"{letters[0]}ann").append(INBOX, [letter(10)])
    with domain.open(f"{letters[0]}ann").open(INBOX) as inbox:
        inbox.expunge([inbox.messages[0].uid])
    assert bob.lacks(INBOX, 10) == ""
    assert deliver(bob, 10, 10) == ["", "5.2.2"]
    assert domain.used(f"{letters[0]}ann") == domain.used(f"{letters[-1]}bob")
    assert domain.used(f"{letters[0]}ann").messages == 5


def test_what_was_there_before_the_quota_is_counted_and_with_it_everything_goes(domain: Domain, letters: str) -> None:
    names = [f"{each}{number}" for number in range(2) for each in letters]
    for name in names:
        assert deliver(domain.open(name, NO_LIMITS), 100, 50) == ["", ""]
    assert domain.used(names[0]) == (-1, -1)
    limits = Limits(0, 2 * len(names) + 1)
    assert deliver(domain.open(names[0], limits), 20, 20) == ["", "5.2.2"]
    assert domain.used(names[-1]).messages == 2 * len(names) + 1
    assert deliver(domain.open(names[-1], replace_limit(limits, 1)), 20) == [""], "a quota that was changed holds"
    assert deliver(domain.open(names[-1], NO_LIMITS), 20) == [""]
    assert domain.used(names[0]) == (-1, -1)


def test_without_any_quota_the_count_of_a_former_one_goes(domain: Domain, letters: str) -> None:
    names = [f"{each}ann" for each in letters]
    assert deliver(domain.open(names[0], Limits(0, 1), None), 10, 10) == ["", "5.2.2"]
    assert deliver(domain.open(names[-1], NO_LIMITS, None), 10, 10) == ["", ""]
    assert domain.used(names[0]) == (-1, -1)
    domain.open(names[0], None, None).append(INBOX, [letter(10)])


def replace_limit(limits: Limits, more: int) -> Limits:
    return Limits(limits.size, limits.messages + more)


def test_a_question_makes_nothing(domain: Domain, letters: str) -> None:
    store = domain.open(f"{letters[-1]}ann", Limits(1000, 0), Limits(500, 0))
    assert store.lacks(INBOX, 501) == "the quota of the mailbox is used up"
    assert store.lacks(INBOX, 10) == ""
    assert list(domain.base.iterdir()) == []


def test_after_any_steps_the_count_is_that_of_the_accounts(domain: Domain, letters: str) -> None:
    chance = random.Random(letters)
    names = [f"{each}{number}" for number in range(2) for each in letters]
    boxes = (INBOX, "Spam", "Work")
    deliver(domain.open(names[0], MUCH), 10)
    for step in range(80):
        name, box, other = chance.choice(names), chance.choice(boxes), chance.choice(boxes)
        store = domain.open(name, chance.choice([MUCH, None]))
        what = chance.choice(("deliver", "deliver", "append", "copy", "move", "expunge", "rename", "delete"))
        if what == "deliver":
            deliver(store, *(chance.randrange(10, 400) for _ in range(3)), mailbox=box)
        elif not store.exists(box) or (what in ("copy", "move") and not store.exists(other)):
            continue
        elif what == "append":
            store.append(box, [letter(chance.randrange(10, 400))])
        elif what == "rename":
            if box != INBOX and not store.exists(other):
                store.rename(box, other)
        elif what == "delete":
            if box != INBOX and step % 5 == 0:
                store.delete(box)
        else:
            with store.open(box) as mailbox:
                uids = [message.uid for message in mailbox.messages if chance.random() < 0.5]
                if what == "expunge":
                    mailbox.expunge(uids)
                else:
                    getattr(mailbox, what)(uids, other)
        there = Usage()
        for each in names:
            there = there.plus(*domain.root(each, MAILBOX_ROOT))
        assert domain.used(names[0]) == domain.used(names[-1]) == there, f"{step}: {what} {box} {other}"


def test_deliveries_at_once_lose_nothing(domain: Domain, letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_file, "LONG", 60)
    monkeypatch.setattr(totals, "MANY", 3)
    names = [f"{letters[each % len(letters)]}{each}" for each in range(4)]
    deliver(domain.open(names[0], MUCH), 10)

    def work(name: str) -> None:
        store = domain.open(name, MUCH)
        for _ in range(15):
            assert deliver(store, 10) == [""]

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert domain.used(names[0]).messages == 61


# --- the file


USUAL = b"1000S,5C\n100 2 1700000000\n20 1\n-5 -1\n"


def test_the_file_is_read_as_it_is_written() -> None:
    assert domain_file.parse(USUAL) == (Limits(1000, 5), (115, 2), 1700000000)
    record = DomainRecord(Limits(7, 0), Usage(3, 4), 5)
    assert domain_file.parse(domain_file.serialize(record)) == record
    lines = USUAL.splitlines(keepends=True)
    whole = [b"".join(lines[:count]) for count in (2, 3)]
    assert {part for part in truncations(USUAL) if domain_file.parse(part) is not None} == set(whole)


@given(st.binary(max_size=200))
def test_no_content_of_the_file_is_an_error(data: bytes) -> None:
    domain_file.parse(data)


@pytest.mark.parametrize("damage", [b"", b"x", b"1000S\n", b"1000S\n5 5\n", b"1000S\n5 5 5\n1"])
def test_a_damaged_file_is_counted_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / DOMAIN_FILE).write_bytes(damage)
    record = DomainFile(str(tmp_path), None, lambda: Usage(9, 1)).read()
    assert record is not None and record.usage == (9, 1)


def test_mailboxes_are_looked_at_once_and_a_long_file_is_summed_up(tmp_path: Path) -> None:
    looks = []

    def count() -> Usage:
        looks.append(1)
        return Usage(1000, 1)

    file = DomainFile(str(tmp_path), Limits(1 << 30, 0), count)
    for _ in range(2000):
        file.read()
        file.add(10, 1)
    assert len(looks) == 1
    assert (tmp_path / DOMAIN_FILE).stat().st_size < LONG + 20
    record = file.read()
    assert record is not None and record.usage == (1000 + 10 * 1999 + 10, 2001)


def test_a_file_that_says_full_is_counted_once_in_a_while(tmp_path: Path) -> None:
    looks = []

    def count() -> Usage:
        looks.append(1)
        return Usage(2000, 1)

    file = DomainFile(str(tmp_path), Limits(1000, 0), count)
    for _ in range(20):
        file.read()
        file.add(-1, 0)
    assert len(looks) == 1
    path = tmp_path / DOMAIN_FILE
    path.write_bytes(b"1000S\n3000 1 %d\n" % (time.time() - BELIEVED - 1))
    file.read()
    assert len(looks) == 2


def test_foreign_databases_beside_mailboxes_do_not_count(tmp_path: Path) -> None:
    domain = Domain(tmp_path)
    deliver(domain.open("sann"), 100)
    for name, data in (("x.db", b"no database"), ("y.sqlite", b"")):
        (tmp_path / domain.name / "sann" / name).write_bytes(data)
    deliver(domain.open("sann", replace(Quota(), domain=MUCH).domain), 100)
    assert domain.used("sann").messages == 2
