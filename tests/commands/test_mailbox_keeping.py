"""`pillarbox mailbox convert`, `export` and `import` keep what clients know mailboxes by."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from pillarbox.commands import mailbox as command
from pillarbox.commands.pillarbox import main
from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, Store
from pillarbox.lib.store.keeping import Identity
from tests.commands.running import run
from tests.commands.test_mailbox import KINDS, killed, location, mailbox


class Known(NamedTuple):
    """A mailbox as clients know it."""

    uid_validity: int
    mailbox_id: str
    messages: dict[int, tuple[bytes, int, tuple[str, ...], int, str]]


def known(store: Store, *, quoted: bool = True) -> dict[str, Known]:
    """`quoted`: but for the `>` that an mbox file puts before lines that begin with `From `."""
    found = {}
    for entry in (entry for entry in store.list() if entry.selectable):
        with store.open(entry.name, read_only=True) as opened:
            messages = {}
            for state in opened.messages:
                with opened.read(state.uid) as content:
                    text = re.sub(rb"(?m)^>+From ", b"From ", content.read()) if quoted else content.read()
                words, date = tuple(sorted(state.keywords)), int(opened.internal_date(state.uid))
                messages[state.uid] = text, state.flags, words, date, opened.pop3_uidl(state.uid)
            found[entry.name] = Known(opened.uid_validity, opened.mailbox_id, messages)
    return found


def fill(store: Store, count: int = 12) -> None:
    """Mailboxes with gaps in their UIDs, one that is empty and has had messages, notes of every kind."""
    for name in (INBOX, "Work/Projects", "Empty"):
        if name != INBOX:
            store.create(name)
        assert not any(store.deliver([_delivery(name, number) for number in range(count)]))
        with store.open(name) as opened:
            opened.expunge(list(opened.messages.uids) if name == "Empty" else [1, 4, count])
    store.subscribe("Work/Projects", True)
    store.subscribe("Gone", True)
    store.change_note("Work/Projects", "acl", lambda _: b"user=bob lr\n")
    store.change_note("Work/Projects", "metadata", lambda _: b'{"/private/specialuse": "\\\\Archive"}')
    store.change_note("", "metadata", lambda _: b'{"/shared/comment": "account"}')


def _delivery(name: str, number: int) -> Delivery:
    text = b"Subject: %d\r\n\r\nFrom me\r\n>From you\r\n>>From them\r\n" % number
    flags = ("\\Seen",) * (number % 2) + ("\\Flagged",) * (number % 3 == 0) + ("$label", "x") * (number == 5)
    return Delivery(lambda: [text], name, flags, date=1e9 + number)


def notes(store: Store) -> list[object]:
    return [
        sorted(store.subscriptions()),
        store.note("Work/Projects", "acl"),
        store.note("Work/Projects", "metadata"),
        store.note("", "metadata"),
    ]


def uid_nexts(store: Store) -> dict[str, int]:
    return {entry.name: store.status(entry.name).uid_next for entry in store.list() if entry.selectable}


def test_an_account_goes_through_all_stores_and_back_as_the_same(tmp_path: Path) -> None:
    places = [location(kind, tmp_path / str(step)) for step, kind in enumerate((*KINDS, *reversed(KINDS), "sqlite"))]
    for step in range(len(places)):
        (tmp_path / str(step)).mkdir()
    fill(open_store(places[0]))
    with open_store(places[0]).open(INBOX) as inbox:  # as another server's files would have it
        uid = inbox.messages.uids[0]
        listed = tmp_path / "0" / "maildir" / "dovecot-uidlist"
    lines = [
        f"{uid} POLD-7 {line.split(' ', 1)[1]}" if line.startswith(f"{uid} ") else line
        for line in listed.read_text().split("\n")
    ]
    listed.write_text("\n".join(lines))
    (tmp_path / "0" / "maildir" / "pillarbox-index").unlink()
    first = known(open_store(places[0]))
    assert first[INBOX].messages[uid][-1] == "OLD-7"
    before = open_store(places[0])
    for place in places[1:]:
        said = mailbox("convert", before.location, place)
        assert said.status == 0 and "new UIDs" not in said.out
        after = open_store(place)
        assert known(after) == first
        assert notes(after) == notes(before)
        assert all(after_next >= uid_nexts(before)[name] for name, after_next in uid_nexts(after).items())
        assert mailbox("verify", place).status == 0
        before = after


@pytest.mark.parametrize("form", ["maildir", "mbox", "eml"])
def test_an_export_keeps_what_clients_know(tmp_path: Path, form: str) -> None:
    before, after = open_store(location("maildir", tmp_path)), open_store(location("sqlite", tmp_path))
    fill(before)
    assert mailbox("export", before.location, tmp_path / "out", "--format", form).status == 0
    assert mailbox("import", after.location, tmp_path / "out").status == 0
    assert known(after, quoted=False) == known(before, quoted=False)
    assert notes(after) == notes(before)
    assert all(uid_nexts(after)[name] >= uid_next for name, uid_next in uid_nexts(before).items())


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_are_messages_new_uids_are_given_and_told(tmp_path: Path, kind: str) -> None:
    before, after = open_store(location("sqlite", tmp_path / "a")), open_store(location(kind, tmp_path / "b"))
    fill(before)
    (tmp_path / "b").mkdir()
    filling = after.restoring(INBOX, Identity(77, 1))  # not by chance the number of one of the source
    filling.finish(Identity(77, 1))
    after.append(INBOX, [b"Subject: mine\r\n\r\n"])
    own = known(after)[INBOX]
    said = mailbox("convert", before.location, after.location)
    assert "INBOX: 9 messages stored, 9 under new UIDs" in said.out.splitlines()
    assert "Work/Projects: 9 messages stored" in said.out.splitlines()
    now = known(open_store(after.location))
    assert now[INBOX].uid_validity == own.uid_validity and now[INBOX].messages.items() >= own.messages.items()
    assert now["Work/Projects"] == known(before)["Work/Projects"]


def test_what_comes_later_gets_uids_that_nobody_knows(tmp_path: Path) -> None:
    before, after = open_store(location("maildir", tmp_path)), open_store(location("sqlite", tmp_path))
    fill(before)
    assert mailbox("convert", before.location, after.location).status == 0
    late = before.append(INBOX, [b"Subject: late\r\n\r\n"]).uid
    assert after.append(INBOX, [b"Subject: meanwhile\r\n\r\n"]).uid > late + 10_000
    said = json.loads(mailbox("convert", before.location, after.location, "--json").out)
    assert (said["stored"], said["mailboxes"][0]["renumbered"]) == (1, 1)
    assert late not in known(after)[INBOX].messages


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_delivered_meanwhile_stays_and_a_session_sees_all(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = open_store(location("maildir", tmp_path / "a")), open_store(location(kind, tmp_path / "b"))
    (tmp_path / "b").mkdir()
    fill(before, 140)
    session = after.open(INBOX)
    told: list[bool] = []

    class Interrupting(command.Bar):
        def show(self, mailbox: str, done: int, total: int, octets: int) -> None:
            if mailbox == INBOX and done:
                text = b"Subject: meanwhile %d\n\n" % done
                assert after.deliver([Delivery(lambda: [text])]) == [None]
                told.append(session.refresh().uid_validity_changed)

    monkeypatch.setattr(command, "Bar", Interrupting)
    assert mailbox("convert", before.location, after.location).status == 0
    assert session.refresh().uid_validity_changed or any(told)
    session.close()
    now, first = known(open_store(after.location))[INBOX], known(before)[INBOX]
    assert now.uid_validity == first.uid_validity
    assert now.messages.items() > first.messages.items()
    others = [uid for uid in now.messages if uid not in first.messages]
    assert len(others) == 3 and min(others) >= uid_nexts(before)[INBOX]


@pytest.mark.parametrize(("source", "target"), [("sqlite", "maildir"), ("maildir", "mbox"), ("mbox", "sqlite")])
def test_killed_at_any_moment_the_uids_are_the_same_in_the_end(tmp_path: Path, source: str, target: str) -> None:
    before, after = location(source, tmp_path / "a"), location(target, tmp_path / "b")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    store = open_store(before)
    texts = [b"Subject: %d\n\n%b" % (number // 2, b"line\n" * 50) for number in range(150)]
    assert not any(store.deliver([Delivery(lambda text=text: [text], date=1e9) for text in texts]))
    with store.open(INBOX) as inbox:
        inbox.expunge([2, 149])
    chance = random.Random(f"{source} {target}")
    kills, delay = 0, 0.0
    for _ in range(200):
        delay = delay + chance.random() * 0.003 if kills < 15 else 60.0
        kills += killed(["convert", before, after], delay)
        if kills >= 15 and delay == 60.0:
            break
    assert kills >= 5, "it was never killed"
    assert mailbox("convert", before, after).status == 0
    assert known(open_store(after)) == known(open_store(before))
    assert mailbox("verify", after).status == 0


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    import fcntl

    before, after = location("maildir", tmp_path), location("sqlite", tmp_path)
    fill(open_store(before))
    with open(f"{tmp_path}/sqlite.pillarbox-journal", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = mailbox("convert", before, after)
    assert said.status == 75 and "another process" in said.err


def test_a_mailbox_that_was_replaced_meanwhile_is_not_mixed_with_another(tmp_path: Path) -> None:
    before, after = location("maildir", tmp_path), location("sqlite", tmp_path)
    store = open_store(before)
    fill(store)
    target = open_store(after)
    target.create("Work/Projects")
    with store.open("Work/Projects") as work:
        identity = work.uid_validity
    journal = tmp_path / "sqlite.pillarbox-journal"
    assert mailbox("convert", before, after).status == 0
    lines = [line for line in journal.read_text().splitlines() if '"filled"' not in line]
    journal.write_text("\n".join(lines) + "\n")
    # Killed before it was noted that all is done: it is seen.
    assert mailbox("convert", before, after).status == 0
    assert open_store(after).status("Work/Projects").uid_validity == identity
    journal.write_text("\n".join(lines) + "\n")
    target.delete("Work/Projects")
    said = mailbox("convert", before, after)
    assert said.status == 69 and "was replaced by another mailbox" in said.err


def test_one_mailbox_is_not_there_twice_under_one_id(tmp_path: Path) -> None:
    before, after = location("maildir", tmp_path), location("sqlite", tmp_path)
    fill(open_store(before))
    assert mailbox("convert", before, after, "--mailbox", "Work/Projects").status == 0
    store = open_store(after)
    store.rename("Work/Projects", "Other")
    os.unlink(tmp_path / "sqlite.pillarbox-journal")
    said = mailbox("convert", before, after, "--mailbox", "Work/Projects")
    assert "9 under new UIDs" in said.out
    assert known(store)["Other"].mailbox_id != known(store)["Work/Projects"].mailbox_id


def test_all_accounts_of_a_domain_go_at_once(instance: Path) -> None:
    with open(instance / "etc" / "main.yaml", "a") as file:
        file.write(f'auth_owner: "{os.getuid()}"\n')
    (instance / "state").mkdir()
    etc = instance / "etc"
    for name in ("ann", "bob", "new"):
        assert run(main, "-c", etc, "user", "add", f"{name}@one.test", "secret").status == 0
    for name in ("ann", "bob"):
        fill(open_store(f"maildir:{instance}/mail/one.test/{name}"), 5)
    words = (main, "-c", etc, "mailbox", "convert")
    said = run(*words, "@one.test", f"sqlite:{instance}/moved.sqlite")
    assert said.status == 66 and "would be the same for several accounts" in said.err
    assert run(*words, "@two.test", f"sqlite:{instance}/%n.sqlite").status == 66
    said = run(*words, "@one.test", f"sqlite:{instance}/moved/%d/%n.sqlite")
    assert (said.status, said.err) == (0, "")
    assert [line for line in said.out.splitlines() if line.endswith(":")] == [
        f"{name}@one.test:" for name in ("ann", "bob", "new")
    ]
    for name in ("ann", "bob"):
        before = open_store(f"maildir:{instance}/mail/one.test/{name}")
        assert known(open_store(f"sqlite:{instance}/moved/one.test/{name}.sqlite")) == known(before)
    assert not (instance / "moved" / "one.test" / "new.sqlite").exists()
    # One that fails does not keep the others from it.
    (instance / "moved" / "one.test" / "ann.sqlite.pillarbox-journal").write_text("no journal\n")
    open_store(f"maildir:{instance}/mail/one.test/bob").append(INBOX, [b"Subject: late\r\n\r\n"])
    said = run(*words, "@one.test", f"sqlite:{instance}/moved/%d/%n.sqlite")
    assert said.status == 66 and "is no journal" in said.err
    assert "INBOX: 1 message stored, 1 under new UIDs, 2 before" in said.out
