"""`pillarbox mailbox`: mail goes from anywhere to anywhere, once; damage is found and mended."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pillarbox.commands.mailbox_progress import Bar, picture
from pillarbox.commands.pillarbox import main
from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN, Store
from tests.commands.running import Said, run

KINDS = ("maildir", "mbox", "sqlite")
FORMATS = ("maildir", "mbox", "eml")

Row = tuple[str, bytes, int, tuple[str, ...], int]


def mailbox(*words: object) -> Said:
    return run(main, "mailbox", *map(str, words))


def location(kind: str, directory: Path) -> str:
    return f"{kind}:{directory}/{kind}"


def fill(store: Store) -> None:
    """Flags, keywords, dates, children, a name with every trap, lines that formats quote, duplicates."""
    store.create("Work/Projects")
    store.create("Entwürfe & R%D")
    store.subscribe("Work/Projects", True)
    for number in range(5):
        body = b"From here\r\n>From there\r\n" * number
        flags = (SEEN if number % 2 else 0) | (FLAGGED if number == 3 else 0)
        keywords = ("$label", "other") if number == 2 else ()
        store.append(INBOX, [b"Subject: %d\r\n\r\n" % number + body], flags, keywords, 1_000_000_000 + number)
    twin = [b"Subject: twin\r\n\r\nthe same\r\n"]
    for _ in range(2):
        store.append("Work/Projects", twin, SEEN, (), 1_100_000_000)
    store.append("Entwürfe & R%D", [b"Subject: last\r\n\r\nno end of line"], 0, (), 1_200_000_000)


def rows(store: Store) -> Counter[Row]:
    """What is there, as every format can hold it."""
    found: Counter[Row] = Counter()
    for entry in store.list():
        if entry.selectable:
            with store.open(entry.name) as opened:
                for state in opened.messages:
                    with opened.read(state.uid) as content:
                        text = re.sub(rb"(?m)^>+From ", b"From ", content.read()).rstrip(b"\r\n")
                    keywords = tuple(sorted(state.keywords))
                    found[entry.name, text, state.flags, keywords, int(opened.internal_date(state.uid))] += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_everything_is_converted_once(tmp_path: Path, kind: str, target: str) -> None:
    before, after = location(kind, tmp_path / "a"), location(target, tmp_path / "b")
    os.mkdir(tmp_path / "a")
    fill(open_store(before))
    said = mailbox("convert", before, after)
    assert (said.status, said.err) == (0, "")
    assert "Work/Projects: 2 messages stored" in said.out.splitlines()
    assert rows(open_store(after)) == rows(open_store(before))
    assert open_store(after).subscriptions() == ("Work/Projects",)
    open_store(before).append(INBOX, [b"Subject: new\r\n\r\n"])
    again = json.loads(mailbox("convert", before, after, "--json").out)
    assert again["stored"] == 1
    assert rows(open_store(after)) == rows(open_store(before))


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_comes_back_as_it_was(tmp_path: Path, form: str) -> None:
    before, after = location("maildir", tmp_path), location("sqlite", tmp_path)
    fill(open_store(before))
    assert mailbox("export", before, tmp_path / "out", "--format", form).status == 0
    said = mailbox("import", after, tmp_path / "out")
    assert (said.status, said.err) == (0, "")
    assert rows(open_store(after)) == rows(open_store(before))


def test_an_import_goes_below_a_mailbox(tmp_path: Path) -> None:
    (tmp_path / "mail.mbox").write_bytes(
        b"From a@example.org  Sat Jan  1 00:00:00 2000\nSubject: one\n\n>From me\n\n"
        b"From b@example.org  Sat Jan  1 00:00:01 2000\nStatus: RO\nSubject: two\n\nbody\n"
    )
    (tmp_path / "one.eml").write_bytes(b"Subject: three\r\n\r\nbody\r\n")
    store = location("maildir", tmp_path)
    assert mailbox("import", store, tmp_path / "mail.mbox", "--into", "Old").status == 0
    assert mailbox("import", store, tmp_path / "one.eml", "--into", "Old", "--journal", tmp_path / "j2").status == 0
    with open_store(store).open("Old") as old:
        assert [state.flags for state in old.messages] == [0, SEEN, 0]
        with old.read(2) as content:
            assert content.read() == b"Subject: two\r\n\r\nbody\r\n"


def test_only_the_named_mailboxes_go(tmp_path: Path) -> None:
    before, after = location("maildir", tmp_path), location("mbox", tmp_path)
    fill(open_store(before))
    assert mailbox("convert", before, after, "--mailbox", "Work/Projects").status == 0
    assert {row[0] for row in rows(open_store(after))} == {"Work/Projects"}
    said = mailbox("convert", before, after, "--mailbox", "Nothing")
    assert said.status == 75 and 'there is no mailbox "Nothing"' in said.err


def test_a_name_that_the_target_cannot_have_is_changed_and_told(tmp_path: Path) -> None:
    before, after = location("mbox", tmp_path), location("maildir", tmp_path)
    store = open_store(before)
    store.create("a.b")
    store.append("a.b", [b"Subject: x\r\n\r\n"])
    said = mailbox("convert", before, after)
    assert "a.b as a_b: 1 message stored" in said.out
    assert open_store(after).status("a_b").messages == 1


def test_a_message_that_cannot_be_read_is_told_and_the_others_go(tmp_path: Path) -> None:
    before, after = location("maildir", tmp_path), location("maildir", tmp_path / "b")
    store = open_store(before)
    for number in range(3):
        store.append(INBOX, [b"Subject: %d\r\n\r\n" % number, b"x" * 500])
    (victim,) = (path for path in (tmp_path / "maildir" / "new").iterdir() if b"Subject: 1\n" in path.read_bytes())
    victim.unlink()
    victim.symlink_to("/etc/passwd")
    said = mailbox("convert", before, after)
    assert said.status == 65
    assert "INBOX: message 2:" in said.err
    assert open_store(after).status(INBOX).messages == 2


def test_a_quota_stops_it_plainly_and_it_goes_on_later(tmp_path: Path) -> None:
    before, after = location("maildir", tmp_path / "a"), location("maildir", tmp_path / "b")
    fill(open_store(before))
    open_store(after).exists(INBOX)
    (tmp_path / "b" / "maildir").mkdir(parents=True)
    (tmp_path / "b" / "maildir" / "maildirsize").write_text("3C\n0 0\n")
    said = mailbox("convert", before, after)
    assert said.status == 75
    assert "mailbox is full: the quota of the mailbox is used up" in said.err and "goes on there" in said.err
    (tmp_path / "b" / "maildir" / "maildirsize").unlink()
    assert mailbox("convert", before, after).status == 0
    assert rows(open_store(after)) == rows(open_store(before))


def test_a_full_disk_stops_it_plainly_and_it_goes_on_later(tmp_path: Path) -> None:
    before = location("maildir", tmp_path / "a")
    store = open_store(before)
    for number in range(30):
        store.deliver(
            [Delivery(lambda number=number: [b"Subject: %d\n\n" % number, os.urandom(30_000).hex().encode()])]
        )
    for target in ("maildir", "mbox", "sqlite"):
        small = tmp_path / f"small-{target}"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", small], check=True)
        try:
            after = location(target, small)
            said = mailbox("convert", before, after, "--journal", tmp_path / f"journal-{target}")
            assert said.status == 75, said
            assert "goes on there" in said.err
            subprocess.run(["mount", "-o", "remount,size=20M", small], check=True)
            assert mailbox("convert", before, after, "--journal", tmp_path / f"journal-{target}").status == 0
            assert rows(open_store(after)) == rows(store)
        finally:
            subprocess.run(["umount", "-l", small], check=True)


def test_the_journal_of_another_transfer_is_not_taken(tmp_path: Path) -> None:
    before = location("maildir", tmp_path / "a")
    fill(open_store(before))
    assert mailbox("export", before, tmp_path / "out", "--format", "eml").status == 0
    said = mailbox("export", location("maildir", tmp_path / "a") + "/", tmp_path / "out", "--format", "mbox")
    assert said.status in (0, 66)
    other = location("maildir", tmp_path / "c")
    fill(open_store(other))
    said = mailbox("export", other, tmp_path / "out", "--format", "eml")
    assert said.status == 66 and "is the journal of another transfer" in said.err


@pytest.mark.parametrize(
    ("source", "verb", "target"),
    [
        ("maildir", "convert", "maildir"),
        ("maildir", "convert", "mbox"),
        ("mbox", "convert", "sqlite"),
        ("maildir", "export", "mbox"),
        ("maildir", "export", "eml"),
    ],
)
def test_killed_at_any_moment_it_goes_on_with_nothing_lost_or_doubled(
    tmp_path: Path, source: str, verb: str, target: str
) -> None:
    before = location(source, tmp_path / "a")
    store = open_store(before)
    batch = []
    for number in range(120):  # some are the same, with the same date, as copies are
        text = b"Subject: %d\n\n" % (number // 2) + b"From x\n" * 50
        batch.append(Delivery(lambda text=text: [text], date=1e9 + number // 2, flags=("\\Seen",) * (number % 3 == 0)))
    assert store.deliver(batch) == [None] * len(batch)
    words = ["convert", before, location(target, tmp_path / "b")]
    if verb == "export":
        words = ["export", before, str(tmp_path / "b"), "--format", target]
    (tmp_path / "b").mkdir()
    chance = random.Random(f"{source} {target}")
    kills = 0
    delay = 0.0
    for _ in range(200):
        delay = delay + chance.random() * 0.003 if kills < 15 else 60.0
        kills += killed(words, delay)
        if kills >= 15 and delay == 60.0:
            break
    assert kills >= 5, "it was never killed"
    assert mailbox(*words).status == 0
    if verb == "export":
        after = location("sqlite", tmp_path / "c")
        (tmp_path / "c").mkdir()
        assert mailbox("import", after, tmp_path / "b").status == 0
    else:
        after = location(target, tmp_path / "b")
    assert rows(open_store(after)) == rows(open_store(before))


def killed(words: list[str], delay: float) -> bool:
    """Run the command in a child and kill it after `delay` seconds; whether it had not ended before."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            status = main(["mailbox", *words])
        finally:
            os._exit(status)
    end = time.monotonic() + delay
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


_MEASURED = """
import sys
from pillarbox.commands.pillarbox import main
status = main(["mailbox", *sys.argv[1:]])
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(status)
"""
"""Not ru_maxrss: that is the parent's, where the parent is larger."""


def test_memory_stays_below_the_ceiling_for_200000_messages(tmp_path: Path) -> None:
    """By the slope between two smaller numbers."""
    used = []
    counts = (250, 2250)
    for count in counts:
        place = tmp_path / str(count)
        store = open_store(f"maildir:{place}/a")
        for _ in range(count // 250):
            store.deliver([Delivery(lambda: [b"Subject: x\n\nbody\n"])] * 250)
        store.close()
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, "convert", f"maildir:{place}/a", f"maildir:{place}/b"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        used.append(int(done.stderr.split()[-1]) * 1024)
    slope = (used[1] - used[0]) / (counts[1] - counts[0])
    assert used[1] + slope * (200_000 - counts[1]) < 256e6, (used, slope)


# --- verify and repair


def damaged_maildir(root: Path) -> dict[str, int]:
    """A Maildir with one of each kind of damage; subject to UID of what must stay."""
    store = open_store(f"maildir:{root}")
    store.create("Work")
    for number in range(6):
        store.append(INBOX, [b"Subject: %d\r\n\r\nbody\r\n" % number], SEEN)
    uids = subjects(store)
    store.close()
    files = sorted((root / "cur").iterdir(), key=lambda path: path.read_bytes())
    files[0].unlink()  # a missing file
    with open(files[1], "ab") as file:
        file.write(b"more\n")  # another size than its name says
    with open(root / "dovecot-uidlist", "ab") as file:
        file.write(b"nonsense\n3")
    (root / "new" / "unknown").write_bytes(b"Subject: unknown\n\n")
    (root / ".Work" / "tmp").rmdir()
    old = root / "tmp" / "dead"
    old.write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    (root / "cur" / "link:2,").symlink_to("/etc/passwd")
    del uids["0"]
    return uids


def subjects(store: Store) -> dict[str, int]:
    found = {}
    with store.open(INBOX) as inbox:
        for uid in inbox.messages.uids:
            try:
                with inbox.read(uid) as content:
                    found[content.header().split(b"Subject: ")[1].split(b"\r\n")[0].decode()] = uid
            except Exception:
                continue
    return found


def test_verify_finds_and_repair_mends_without_changing_a_uid(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    uids = damaged_maildir(root)
    names = sorted(path.name for path in (root / "cur").iterdir())
    said = mailbox("verify", f"maildir:{root}", "--json")
    assert said.status == 65
    found = [finding["what"] for finding in json.loads(said.out)["findings"]]
    for what in ("lines that cannot be read", "octets, ", "no directory tmp", "dead deliveries", "symbolic link"):
        assert any(what in each for each in found), (what, found)
    assert "1 UIDs of messages that have no file" in found
    assert sorted(path.name for path in (root / "cur").iterdir() if path.name in names) == names
    said = mailbox("repair", f"maildir:{root}")
    assert said.status == 65  # the link is nobody's to remove
    left = [line for line in said.out.splitlines() if ": damage: " in line]
    assert all("link" in line or "symbolic" in line or "Too many levels" in line for line in left), left
    (root / "cur" / "link:2,").unlink()
    assert mailbox("verify", f"maildir:{root}").status == 0
    after = subjects(open_store(f"maildir:{root}"))
    assert {subject: after[subject] for subject in uids} == uids
    assert "unknown" in after


@pytest.mark.parametrize("indexed", [True, False])
def test_uids_outlive_a_lost_first_line(tmp_path: Path, indexed: bool) -> None:
    root = tmp_path / "mail"
    store = open_store(f"maildir:{root}")
    for number in range(3):
        store.append(INBOX, [b"Subject: %d\r\n\r\n" % number])
    with store.open(INBOX) as inbox:
        inbox.expunge([1])
    uids = subjects(store)
    listed = root / "dovecot-uidlist"
    with store.open(INBOX) as inbox:
        validity = inbox.uid_validity
    store.close()
    damaged = b"\0" + listed.read_bytes()[1:]
    listed.write_bytes(damaged)
    assert mailbox("verify", f"maildir:{root}").status == 65
    assert listed.read_bytes() == damaged
    if not indexed:
        (root / "pillarbox-index").unlink()
    said = mailbox("repair", f"maildir:{root}")
    assert said.status == 0 and ("under a new UIDVALIDITY" in said.out) != indexed
    assert subjects(open_store(f"maildir:{root}")) == uids
    with open_store(f"maildir:{root}").open(INBOX) as inbox:
        assert (inbox.uid_validity == validity) == indexed


def test_a_stale_index_of_an_mbox_file_is_found_and_mended(tmp_path: Path) -> None:
    store = open_store(f"mbox:{tmp_path}/mail")
    for number in range(3):
        store.append(INBOX, [b"Subject: %d\r\n\r\nbody\r\n" % number])
    uids = subjects(store)
    file = tmp_path / "mail" / INBOX
    about = file.stat()
    text = file.read_bytes()
    start = text.index(b"From ", 5)
    end = text.index(b"From ", start + 5)
    file.write_bytes(text[:start] + text[end:] + text[start:end])  # in place, in another order, with the old time
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    said = mailbox("verify", f"mbox:{tmp_path}/mail")
    assert said.status == 65 and "the index does not describe the file" in said.out
    assert mailbox("repair", f"mbox:{tmp_path}/mail").status == 0
    assert mailbox("verify", f"mbox:{tmp_path}/mail").status == 0
    assert subjects(open_store(f"mbox:{tmp_path}/mail")) == uids


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_store_has_nothing_to_mend(tmp_path: Path, kind: str) -> None:
    fill(open_store(location(kind, tmp_path)))
    said = mailbox("verify", location(kind, tmp_path))
    assert said == Said(0, "3 mailboxes, 8 messages read; 0 found, 0 left\n")


# --- the command line


def test_an_account_is_found_by_its_address(instance: Path) -> None:
    with open(instance / "etc" / "main.yaml", "a") as file:
        file.write(f'auth_owner: "{os.getuid()}"\n')
    (instance / "state").mkdir()
    assert run(main, "-c", instance / "etc", "user", "add", "ann@one.test", "secret").status == 0
    (instance / "one.eml").write_bytes(b"Subject: one\r\n\r\n")
    said = run(main, "-c", instance / "etc", "mailbox", "import", "ann@one.test", instance / "one.eml")
    assert (said.status, said.out) == (0, "INBOX: 1 message stored\n")
    home = next(instance.glob("mail/one.test/ann"))
    assert len(list((home / "new").iterdir())) == 1
    said = run(main, "-c", instance / "etc", "mailbox", "verify", "bob@one.test")
    assert said.status == 67


def test_roots_work_belongs_to_the_mailboxs_owner(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("for root")
    os.chmod(tmp_path, 0o755)
    (tmp_path / "b").mkdir()
    os.chown(tmp_path / "b", 12345, 12346)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o011 == 0:
            os.chmod(parent, parent.stat().st_mode | 0o011)
    fill(open_store(f"maildir:{tmp_path}/a"))
    assert mailbox("convert", f"maildir:{tmp_path}/a", f"maildir:{tmp_path}/b/mail").status == 0
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "b").rglob("*")}
    assert owners == {(12345, 12346)}
    assert os.geteuid() == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("copy",),
        ("export", "maildir:/x"),
        ("verify", "maildir:/x", "--into", "y"),
        ("import", "a", "b", "--format", "z"),
    ],
)
def test_words_that_make_no_sense_show_the_usage(words: tuple[str, ...]) -> None:
    said = mailbox(*words)
    assert said.status == 64 and "usage: pillarbox mailbox" in said.err


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("convert", "--help")])
def test_help_is_the_manual_page(words: tuple[str, ...]) -> None:
    said = mailbox(*words)
    assert (said.status, said.err) == (0, "") and "sysexits(3)" in said.out
    for option in ("--format", "--mailbox", "--journal", "--into", "--json", "--restored", "@DOMAIN"):
        assert option in said.out


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for words in (
        ("verify", f"maildir:{tmp_path}/none"),
        ("convert", f"maildir:{tmp_path}/none", f"maildir:{tmp_path}/b"),
        ("import", f"maildir:{tmp_path}/a", f"{tmp_path}/none"),
        ("verify", "nobody"),
    ):
        said = mailbox(*words)
        assert said.status == 66 and len(said.err.splitlines()) == 1, said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_on_a_terminal_only_and_not_for_each_message() -> None:
    moments = iter(number / 100 for number in range(1, 10_000))
    terminal, file = Terminal(), io.StringIO()
    for where in (terminal, file):
        bar = Bar(where, lambda: next(moments))
        for done in range(1001):
            bar.show("INBOX", done, 1000, done * 1000)
        bar.clear()
    shown = terminal.getvalue().split("\r")
    assert 90 < len(shown) < 130
    assert any(each.startswith("INBOX [########################] 1000/1000 100%") for each in shown)
    assert shown[-2].strip() == ""
    assert file.getvalue() == ""


def test_the_bar_fits_the_terminal() -> None:
    assert picture("INBOX", 1, 4, 2e6, 80) == "INBOX [######..................] 1/4  25% 2.0 MB/s"
    assert len(picture("x" * 200, 123, 456, 0.0, 60)) < 60


@pytest.mark.parametrize("above", [False, True], ids=["the place itself", "a directory above it"])
def test_a_link_of_somebody_leads_root_to_nothing_that_is_not_theirs(tmp_path: Path, above: bool) -> None:
    if os.geteuid():
        pytest.skip("only root has others' rights")
    secret = tmp_path / "root"
    secret.mkdir(0o700)
    fill(open_store(location("maildir", secret)))
    home = tmp_path / "home"
    home.mkdir(0o755)
    for folder in (tmp_path, *tmp_path.parents):  # so that nothing but the link's owner is in the way
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    link = home / "Mail" if above else home / "maildir"
    link.symlink_to(secret if above else secret / "maildir")
    os.chown(link, 12345, 12346, follow_symlinks=False)
    source = f"maildir:{link}/maildir" if above else f"maildir:{link}"
    said = mailbox("convert", source, location("sqlite", tmp_path), "--journal", tmp_path / "journal")
    assert said.status != 0, said
    assert not (tmp_path / "sqlite").exists() or not rows(open_store(location("sqlite", tmp_path)))
    os.chown(link, 0, 0, follow_symlinks=False)
    assert mailbox("convert", source, location("sqlite", tmp_path), "--journal", tmp_path / "journal").status == 0


@pytest.mark.parametrize("left", [b'{"done": 3, "sto', bytes(60) + b', "stored": 2}\n', b"\n"])
def test_what_a_power_loss_leaves_of_a_journal_is_cut_off(tmp_path: Path, left: bytes) -> None:
    before, after = location("maildir", tmp_path), location("sqlite", tmp_path)
    fill(open_store(before))
    assert mailbox("convert", before, after).status == 0
    journal = tmp_path / "sqlite.pillarbox-journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + left)
    assert mailbox("convert", before, after).status == 0
    assert rows(open_store(after)) == rows(open_store(before))
    journal.write_bytes(whole + left + b"\n" + whole.splitlines(keepends=True)[-1])
    assert mailbox("convert", before, after).status == 66, "a line in the middle is no work of a power loss"
