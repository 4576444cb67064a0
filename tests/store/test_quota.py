"""Quota of Maildirs: what the file says, who keeps it right, who is refused."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.quota import Limits, parse_rule
from pillarbox.lib.store import domain_file, open_store
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import INBOX, OverQuota
from pillarbox.lib.store.maildir.ledger import Ledger, count_domain
from pillarbox.lib.store.maildir.maildirsize import MAX_BYTES, NAME, Record, parse, serialize
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.quota import FROM_FILE, Quota, QuotaPolicy, Usage, grant_text
from tests.feeding import truncations, with_trailing

USUAL = b"1000000S,100C\n123 4\n1000 1\n-23 -1\n"


# --- the file


def test_the_file_is_summed_up() -> None:
    assert parse(USUAL) == Record(Limits(1_000_000, 100), Usage(1100, 4), 3)


def test_a_cut_file_is_damaged_or_a_whole_one() -> None:
    whole = [b"1000000S,100C\n123 4\n", b"1000000S,100C\n123 4\n1000 1\n"]
    assert all((parse(data) is not None) == (data in whole) for data in truncations(USUAL))


def test_trailing_bytes_damage_it() -> None:
    assert all(parse(data) is None for data in with_trailing(USUAL))


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"x\n1 1\n", b"1S\n", b"1S\n-1 1\n", b"1S\n1\n", b"1S\n1 1 1\n", b"1S\n" + b"1 1\n" * MAX_BYTES],
)
def test_what_is_no_such_file(data: bytes) -> None:
    assert parse(data) is None


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 30), st.integers(0, 1 << 40), st.integers(0, 1 << 20))
def test_what_is_written_is_read(size: int, messages: int, limit: int, most: int) -> None:
    assert parse(serialize(Limits(limit, most), Usage(size, messages))) == ((limit, most), (size, messages), 1)


@given(st.binary(max_size=300))
def test_no_content_is_an_error(data: bytes) -> None:
    parse(data)


def test_what_lookup_tells_is_read() -> None:
    policy = QuotaPolicy(Config.for_tests(quota_full_tempfail="yes", quota_rules="{Spam: ignore}"))
    quota = policy.granted(grant_text(Limits(1000, 0), Limits(0, 5)))
    assert quota.tempfail and quota.hosted
    assert (quota.limits, quota.domain) == ((1000, 0), (0, 5))
    assert [rule.folder for rule in quota.rules] == ["Spam"]
    assert policy.granted("") == Quota(None, Limits(), hosted=True, base=quota.base)


# --- delivery


class Account:
    def __init__(self, path: Path, quota: Quota = FROM_FILE) -> None:
        self.root = path / "example.com" / "ann"
        self.quota = quota
        self.path = path

    def deliver(self, *sizes: int, **how: object) -> list[str]:
        """Deliver messages of these sizes in one batch; the status codes of what failed, "" for stored."""
        batch, fds = [], []
        for size in sizes:
            file = self.path / f"queue{size}"
            file.write_bytes(b"x" * size)
            fds.append(os.open(file, os.O_RDONLY))
            batch.append(MaildirDelivery(str(self.root), b"", fds[-1], 0, size, None, quota=self.quota, **how))  # type: ignore[arg-type]
        outcomes = MaildirWriter().deliver(batch)
        for fd in fds:
            os.close(fd)
        return [outcome.dsn if isinstance(outcome, DeliveryFailure) else "" for outcome in outcomes]

    def file(self) -> bytes:
        return (self.root / NAME).read_bytes()

    def true(self) -> Usage:
        return Ledger(str(self.root), self.quota).count()

    def said(self) -> Usage:
        record = parse(self.file())
        assert record is not None
        return record.usage


def limited(size: int = 0, messages: int = 0, **more: object) -> Quota:
    return Quota(Limits(size, messages), hosted=True, **more)  # type: ignore[arg-type]


def test_without_a_quota_there_is_no_file(tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert account.deliver(10) == [""]
    assert not (account.root / NAME).exists()


def test_a_delivery_is_counted(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    assert account.deliver(100, 200) == ["", ""]
    assert account.file() == b"1000S\n0 0\n300 2\n"


@pytest.mark.parametrize(("quota", "stored"), [(limited(1000), 3), (limited(0, 2), 2), (limited(10_000, 3), 3)])
def test_what_finds_no_room_is_refused_within_a_batch_too(tmp_path: Path, quota: Quota, stored: int) -> None:
    account = Account(tmp_path, quota)
    assert account.deliver(300, 300, 300, 300) == [""] * stored + ["5.2.2"] * (4 - stored)
    assert account.deliver(300) == ["5.2.2"]
    assert account.true() == account.said() == (300 * stored, stored)
    assert not list((account.root / "tmp").iterdir())


def test_a_small_message_still_fits(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    assert account.deliver(900, 200, 100) == ["", "5.2.2", ""]


def test_a_refusal_may_be_temporary(tmp_path: Path) -> None:
    assert Account(tmp_path, limited(10, tempfail=True)).deliver(20) == ["4.2.2"]


def test_the_first_line_of_another_program_is_obeyed_where_nothing_else_is_said(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.root.mkdir(parents=True)
    (account.root / NAME).write_bytes(b"1000S\n900 9\n")
    assert account.deliver(50) == [""]
    assert account.file() == b"1000S\n900 9\n50 1\n"


def test_a_changed_quota_is_written_and_everything_counted(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    account.deliver(500)
    account.quota = limited(2000, 10)
    assert account.deliver(1000) == [""]
    assert account.file() == b"2000S,10C\n500 1\n1000 1\n"


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"1000S\n100 1\n5", b"1000S\n" + b"1 1\n" * MAX_BYTES])
def test_a_damaged_or_long_file_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    account = Account(tmp_path, limited(1000))
    account.deliver(100)
    (account.root / NAME).write_bytes(damage)
    account.deliver(50)
    assert account.file() == b"1000S\n100 1\n50 1\n"


def test_a_file_that_says_full_is_checked_before_mail_is_refused(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    account.deliver(100)
    (account.root / NAME).write_bytes(b"1000S\n500 5\n600 6\n")
    assert account.deliver(100) == [""]
    (account.root / NAME).write_bytes(b"1000S\n1100 5\n")
    assert account.deliver(100) == ["5.2.2"], "just made: believed"
    old = time.time() - 1000
    os.utime(account.root / NAME, (old, old))
    assert account.deliver(100) == [""]


def test_names_without_sizes_are_measured(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    account.deliver(1)
    (account.root / "cur" / "1.2.host:2,S").write_bytes(b"x" * 70)
    (account.root / "cur" / "1.3.host,S=30:2,S").write_bytes(b"x" * 5)
    (account.root / "cur" / ".hidden").write_bytes(b"x" * 70)
    assert account.true() == (101, 3)


def test_a_file_that_is_no_file_puts_mail_off(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000))
    (account.root / NAME).mkdir(parents=True)
    (code,) = account.deliver(10)
    assert code.startswith("4.")


# --- folders


RULES = (parse_rule("Spam", "ignore"), parse_rule("Trash", "+50%"))


def test_an_ignored_folder_neither_counts_nor_is_full(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(100, rules=RULES))
    assert account.deliver(90) == [""]
    assert account.deliver(500, folder="Spam", create=True) == [""]
    assert account.said() == account.true() == (90, 1)


def test_a_folder_may_hold_more(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(100, rules=RULES))
    account.deliver(90)
    assert account.deliver(30, folder="Lists", create=True) == ["5.2.2"]
    assert account.deliver(30, folder="Trash", create=True) == [""]
    assert account.deliver(31, folder="Trash", create=True) == ["5.2.2"]
    assert account.said() == (120, 2)


# --- sessions


def test_sessions_keep_the_count_right(tmp_path: Path) -> None:
    account = Account(tmp_path, limited(1000, rules=RULES))
    account.deliver(100, 100)
    store = open_store(f"maildir:{account.root}", account.quota)
    for name in ("Work", "Spam"):
        store.create(name)
    store.append("Work", [b"x" * 50])
    assert account.said() == account.true() == (250, 3)
    with store.open(INBOX) as inbox:
        first, second = (message.uid for message in inbox.messages)
        inbox.copy([first], "Work")
        assert account.said() == account.true() == (350, 4)
        inbox.move([first], "Work")
        assert account.said() == account.true() == (350, 4)
        inbox.move([second], "Spam")
        assert account.said() == account.true() == (250, 3)
    with store.open("Spam") as spam:
        spam.copy([spam.messages[0].uid], INBOX)
        assert account.said() == account.true() == (350, 4)
        spam.expunge([spam.messages[0].uid])
        assert account.said() == account.true() == (350, 4)
    with store.open("Work") as work:
        work.expunge([work.messages[0].uid])
    assert account.said() == account.true() == (300, 3)
    store.rename("Work", "Spam/Work")
    store.delete("Spam/Work")
    assert account.said() == account.true() == (100, 1)


@pytest.mark.parametrize("how", ["append", "copy", "move back"])
def test_a_session_is_refused_without_a_trace(tmp_path: Path, how: str) -> None:
    account = Account(tmp_path, limited(250, rules=RULES))
    account.deliver(100, 100)
    account.deliver(100, folder="Spam", create=True)
    store = open_store(f"maildir:{account.root}", account.quota)
    with store.open("Spam") as spam, store.open(INBOX) as inbox, pytest.raises(OverQuota):
        if how == "append":
            store.append(INBOX, [b"x" * 51])
        elif how == "copy":
            inbox.copy([inbox.messages[0].uid], INBOX)
        else:
            spam.move([spam.messages[0].uid], INBOX)
    assert account.said() == account.true() == (200, 2)
    assert not list((account.root / "tmp").iterdir())


def test_a_session_without_quota_makes_no_file(tmp_path: Path) -> None:
    store = open_store(f"maildir:{tmp_path}/box", Quota(hosted=True))
    store.append(INBOX, [b"x"])
    with store.open(INBOX) as inbox:
        inbox.expunge([inbox.messages[0].uid])
    assert not (tmp_path / "box" / NAME).exists()


# --- domains


def test_a_domain_is_full_for_all_its_mailboxes(tmp_path: Path) -> None:
    ann = Account(tmp_path, Quota(Limits(1000, 0), Limits(500, 0), True))
    bob = Account(tmp_path, Quota(Limits(), Limits(500, 0), True))
    bob.root = ann.root.with_name("bob")
    assert ann.deliver(300) == [""]
    assert bob.deliver(300) == ["5.2.2"]
    assert bob.deliver(200) == [""]
    assert ann.deliver(1) == ["5.2.2"]
    assert ann.file().startswith(b"1000S\n") and bob.file().startswith(b"0S\n")
    with open_store(f"maildir:{ann.root}", Quota(hosted=True)).open(INBOX) as inbox:
        inbox.expunge([inbox.messages[0].uid])
    assert bob.deliver(250) == [""]
    record = domain_file.parse((ann.root.parent / domain_file.DOMAIN_FILE).read_bytes())
    assert record is not None and record.usage == count_domain(str(ann.root.parent)) == (450, 2)


def test_a_domain_is_counted_from_mailboxes_with_and_without_files(tmp_path: Path) -> None:
    ann, bob = Account(tmp_path), Account(tmp_path, limited(1000))
    bob.root = ann.root.with_name("bob")
    ann.deliver(10, 20)
    bob.deliver(5)
    (ann.root.parent / "a-file").write_text("")
    assert count_domain(str(ann.root.parent)) == (35, 3)


# --- whatever happens


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(300, 3000))
def test_after_any_steps_the_count_is_that_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, limit: int
) -> None:
    account = Account(tmp_path_factory.mktemp("quota"), limited(limit, 20, rules=RULES))
    store = open_store(f"maildir:{account.root}", account.quota)
    names = (INBOX, "Spam", "Trash", "Work/A")
    for name in names[1:]:
        store.create(name)
    for _ in range(25):
        name, other = chance.choice(names), chance.choice(names)
        step = chance.choice(("deliver", "deliver", "append", "copy", "move", "expunge"))
        try:
            if step == "deliver":
                account.deliver(chance.randrange(400), folder=name)
            elif step == "append":
                store.append(name, [b"x" * chance.randrange(400)])
            else:
                with store.open(name) as mailbox:
                    uids = [message.uid for message in mailbox.messages if chance.random() < 0.5]
                    if step == "expunge":
                        mailbox.expunge(uids)
                    else:
                        getattr(mailbox, step)(uids, other)
        except OverQuota:
            pass
        if (account.root / NAME).exists():
            assert account.said() == account.true(), step
        assert account.true().size <= limit * 3 // 2
