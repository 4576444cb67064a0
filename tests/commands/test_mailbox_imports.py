"""`pillarbox mailbox import`: trees of other programs, mbox files of every make, and nothing from outside the tree."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.commands.mailbox_mbox_makes import has_lengths, messages_by_length, numbered
from pillarbox.commands.mailbox_names import distinct_name, file_name, level_of
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN, Store
from tests.commands.test_mailbox import location, mailbox
from tests.commands.test_mailbox_keeping import known
from tests.feeding import truncations, with_trailing

FROM = b"From a@example.org  Sat Jan  1 00:00:00 2000\n"
SECRET = b"Subject: secret\n\nsecret\n"


def texts(store: Store, name: str = INBOX) -> list[bytes]:
    with store.open(name) as opened:
        found = []
        for uid in opened.messages.uids:
            with opened.read(uid) as content:
                found.append(content.read())
        return found


def everything(store: Store) -> bytes:
    names = [entry.name for entry in store.list() if entry.selectable]
    return b"".join(text for name in names for text in texts(store, name))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A Maildir, an mbox file and a message of somebody else."""
    place = tmp_path / "outside"
    for part in ("cur", "new", "tmp"):
        (place / part).mkdir(parents=True)
    (place / "cur" / "1.x:2,").write_bytes(SECRET)
    (place / "mbox").write_bytes(FROM + SECRET)
    (place / "one.eml").write_bytes(SECRET)
    (place / "names").write_text("secret-name\n")
    return place


def test_links_in_a_tree_of_mbox_files_are_not_followed(tmp_path: Path, outside: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "Mail.sbd").mkdir(parents=True)
    (tree / "Mail").write_bytes(FROM + b"Subject: mine\n\n")
    (tree / "Mail.sbd" / "file").symlink_to(outside / "mbox")
    (tree / "directory").symlink_to(outside)
    said = mailbox("import", location("sqlite", tmp_path), tree)
    assert "Mail.sbd/file: a symbolic link is not followed" in said.err and "tree/directory: a symbolic" in said.err
    found = everything(open_store(location("sqlite", tmp_path)))
    assert b"mine" in found and b"secret" not in found


def test_links_among_single_messages_are_not_followed(tmp_path: Path, outside: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.eml").write_bytes(b"Subject: mine\n\n")
    (tree / "b.eml").symlink_to(outside / "one.eml")
    (tree / "directory").symlink_to(outside)
    (tree / "messages.jsonl").symlink_to(outside / "names")
    os.mkfifo(tree / "c.eml")
    said = mailbox("import", location("sqlite", tmp_path), tree)
    assert said.status == 0 and said.err.count("not followed") == 3 and "c.eml: it is no file" in said.err
    assert everything(open_store(location("sqlite", tmp_path))) == b"Subject: mine\r\n\r\n"


def test_links_in_a_maildir_are_not_followed(tmp_path: Path, outside: Path) -> None:
    tree = tmp_path / "tree"
    for folder in ("", ".Work", ".Half"):
        for part in ("cur", "new", "tmp"):
            (tree / folder / part).mkdir(parents=True)
    (tree / "cur" / "1.a:2,S").write_bytes(b"Subject: mine\n\n")
    (tree / "cur" / "2.a:2,S").symlink_to(outside / "one.eml")
    (tree / ".Other").symlink_to(outside)
    (tree / ".Half" / "cur").rmdir()
    (tree / ".Half" / "cur").symlink_to(outside / "cur")
    (tree / "subscriptions").symlink_to(outside / "names")
    said = mailbox("import", location("sqlite", tmp_path), tree)
    assert said.status == 65 and "INBOX: message 2:" in said.err  # it is in place of a message
    assert "/.Other: a symbolic link" in said.err and "/.Half/cur: a symbolic link" in said.err
    store = open_store(location("sqlite", tmp_path))
    assert everything(store) == b"Subject: mine\r\n\r\n" and store.subscriptions() == ()


def test_the_named_place_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    for name, target in (("tree", outside), ("file", outside / "mbox"), ("mail.eml", outside / "one.eml")):
        (tmp_path / name).symlink_to(target)
        store = f"sqlite:{tmp_path}/{name}.sqlite"
        assert (
            mailbox("import", store, tmp_path / name, *(("--format", "maildir") if name == "tree" else ())).status == 0
        )
        assert texts(open_store(store)) == [b"Subject: secret\r\n\r\nsecret\r\n"]


# --- Maildirs


def snapshot(tree: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in tree.rglob("*"))


def test_a_foreign_maildir_keeps_uids_and_keywords_and_stays_untouched(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for guid, folder in (("0" * 32, ""), ("1" * 32, ".Work.Projects")):
        for part in ("cur", "new", "tmp"):
            (tree / folder / part).mkdir(parents=True)
        (tree / folder / "cur" / "100.a.host:2,FSab").write_bytes(b"Subject: a\n\n")
        (tree / folder / "cur" / "101.b.host:2,").write_bytes(b"Subject: b\n\n")
        (tree / folder / "new" / "99.c.host").write_bytes(b"Subject: c\n\n")
        (tree / folder / "dovecot-keywords").write_text("0 $Forwarded\n1 NonJunk\n")
        (tree / folder / "dovecot-uidlist").write_text(
            f"3 V4711 N60 G{guid}\n7 Pold-7 :100.a.host\n9 :gone\n50 :101.b.host:2,S\n"
        )
    (tree / "subscriptions").write_text("V\t2\n\nWork\tProjects\n")
    (tree / "pillarbox-index").write_bytes(b"what another has put here is not read")
    before = snapshot(tree)
    assert mailbox("import", location("sqlite", tmp_path), tree).status == 0
    assert snapshot(tree) == before
    store = open_store(location("sqlite", tmp_path))
    for name, guid in ((INBOX, "0" * 32), ("Work/Projects", "1" * 32)):
        with store.open(name) as opened:
            assert (opened.uid_validity, opened.mailbox_id) == (4711, guid)
            states = {state.uid: (state.flags, state.keywords) for state in opened.messages}
            assert states == {
                7: (SEEN | FLAGGED, {"$Forwarded", "NonJunk"}),
                50: (0, frozenset()),
                60: (0, frozenset()),
            }
            assert opened.pop3_uidl(7) == "old-7" and opened.uid_next > 60
    assert store.subscriptions() == ("Work/Projects",)
    assert mailbox("import", location("sqlite", tmp_path), tree).out.count(" 0 messages stored, 3 before") == 2


def test_a_maildir_without_uids_that_changes_between_two_runs_is_not_guessed_at(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for part in ("cur", "new", "tmp"):
        (tree / part).mkdir(parents=True)
    (tree / "new" / "1.a").write_bytes(b"Subject: a\n\n")
    (tree / "new" / "2.b").write_bytes(b"Subject: b\n\n")
    assert mailbox("import", location("sqlite", tmp_path), tree).out == "INBOX: 2 messages stored\n"
    (tree / "new" / "1.a").unlink()
    (tree / "new" / "3.c").write_bytes(b"Subject: c\n\n")
    said = mailbox("import", location("sqlite", tmp_path), tree)
    assert said.status == 75 and "another mailbox than when the transfer began" in said.err


# --- mbox files


@pytest.mark.parametrize(
    ("make", "stored", "meant"),
    [
        ("mbox", b">From x\n>>From y\n", b">From x\r\n>>From y\r\n"),
        ("mboxo", b">From x\n>>From y\n", b"From x\r\n>>From y\r\n"),
        ("mboxrd", b">From x\n>>From y\n> From\n", b"From x\r\n>From y\r\n> From\r\n"),
    ],
)
def test_lines_are_unquoted_as_the_make_says(tmp_path: Path, make: str, stored: bytes, meant: bytes) -> None:
    (tmp_path / "mail").write_bytes(FROM + b"Subject: x\n\n" + stored + b"\n" + FROM + b"Subject: y\n\n" + stored)
    assert mailbox("import", location("sqlite", tmp_path), tmp_path / "mail", "--format", make).status == 0
    expected = [b"Subject: x\r\n\r\n" + meant, b"Subject: y\r\n\r\n" + meant]
    assert texts(open_store(location("sqlite", tmp_path))) == expected


def by_length(bodies: list[bytes], line_end: bytes = b"\n") -> bytes:
    return b"".join(
        FROM + b"Subject: %d\nContent-Length: %d\n\n" % (number, len(body)) + body + line_end
        for number, body in enumerate(bodies)
    )


def test_a_file_that_tells_lengths_is_known_by_them(tmp_path: Path) -> None:
    bodies = [b"one\n\n" + FROM + b"not a message\n", b"", b"two\n"]
    (tmp_path / "mail").write_bytes(by_length(bodies))
    assert mailbox("import", location("sqlite", tmp_path), tmp_path / "mail").status == 0
    found = texts(open_store(location("sqlite", tmp_path)))
    assert [text.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") for text in found] == bodies


def test_a_wrong_length_swallows_nothing(tmp_path: Path) -> None:
    data = by_length([b"one\n", b"two\n", b"three\n"]).replace(b"Content-Length: 4", b"Content-Length: 7", 1)
    (tmp_path / "mail").write_bytes(data)
    assert mailbox("import", location("sqlite", tmp_path), tmp_path / "mail", "--format", "mboxcl2").status == 0
    assert len(texts(open_store(location("sqlite", tmp_path)))) == 3


@given(st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\r", b"") + b"\n"), min_size=1, max_size=5))
def test_whatever_the_bodies_are_lengths_part_them(bodies: list[bytes]) -> None:
    data = by_length([body + FROM for body in bodies])
    assert has_lengths(data)
    found = list(messages_by_length(data, 0, len(data)))
    assert [data[each.end - len(body + FROM) : each.end] for each, body in zip(found, bodies, strict=True)] == [
        body + FROM for body in bodies
    ]


def test_a_file_cut_anywhere_gives_ranges_within_it() -> None:
    data = by_length([b"one\n", b"two\n\n" + FROM + b"x\n"])
    for part in (*truncations(data), *with_trailing(data)):
        position = 0
        for found in messages_by_length(part, 0, len(part)):
            assert position <= found.offset <= found.start <= found.end <= found.next <= len(part)
            position = found.next
        numbered(part, messages_by_length(part, 0, len(part)))


def test_uids_that_a_server_wrote_into_the_file_stay(tmp_path: Path) -> None:
    internal = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 4711 0000000030\n\ntext\n\n"
    one = FROM + b"X-UID: 12\nSubject: a\n\n\n"
    for name, data, uids, validity in (
        ("uw", FROM + internal + one + FROM + b"Subject: b\nX-UID: 30\n\n\n", [12, 30], 4711),
        ("dovecot", FROM + b"X-IMAPbase: 4712 31 $Label\nX-UID: 5\nSubject: a\n\n\n" + one, [5, 12], 4712),
        ("descending", FROM + b"X-IMAPbase: 4713 31\nX-UID: 15\nSubject: a\n\n\n" + one, [1, 2], None),
        ("without", FROM + b"X-IMAPbase: 4714 31\nSubject: a\n\n\n" + one, [1, 2], None),
    ):
        (tmp_path / name).write_bytes(data)
        store = f"sqlite:{tmp_path}/{name}.sqlite"
        assert mailbox("import", store, tmp_path / name).status == 0
        with open_store(store).open(INBOX) as inbox:
            assert list(inbox.messages.uids) == uids, name
            assert (inbox.uid_validity == validity) == (validity is not None)


# --- names


NAMES = ("Work", "work", "WORK", "Work/x", "work/x", "INBOX/messages.jsonl", "messages.jsonl", "0000000001.eml", "y",
         "y/z", "y.sbd", "Ünder", "ünder", "%41", "A", "%(41)")  # fmt: skip


@pytest.mark.parametrize("form", ["mbox", "eml"])
def test_names_that_a_file_system_could_take_for_one_are_told_apart(tmp_path: Path, form: str) -> None:
    before, after = open_store(f"sqlite:{tmp_path}/before"), open_store(f"sqlite:{tmp_path}/after")
    for name in (INBOX, *NAMES):
        if name != INBOX:
            before.create(name)
        before.append(name, [b"Subject: %b\r\n\r\n" % name.encode()])
    for _ in range(2):  # the same names again
        assert mailbox("export", before.location, tmp_path / "out", "--format", form).status == 0
    for directory, _, _ in os.walk(tmp_path / "out"):
        entries = [entry.casefold() for entry in os.listdir(directory)]
        assert len(set(entries)) == len(entries)
    assert mailbox("import", after.location, tmp_path / "out").status == 0
    assert known(after) == known(before)


@given(
    st.text(min_size=1, max_size=20).filter(lambda text: "/" not in text), st.lists(st.text(max_size=10), max_size=5)
)
def test_a_name_is_read_as_it_was_written(level: str, siblings: list[str]) -> None:
    name = distinct_name(level, siblings)
    if not re.search(r"&|[\ud800-\udfff]", level):  # modified UTF-7 is read too
        assert level_of(name) == level
        assert level_of(file_name(level)) == level
    assert "/" not in name and name[0] != "." and not name.endswith((".eml", ".sbd"))


def test_two_files_of_one_name_as_a_mailbox_are_two_mailboxes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number, name in enumerate(("A_B", "A%2FB", "inbox", "INBOX")):
        (tree / name).write_bytes(FROM + b"Subject: %d\n\n" % number)
    assert mailbox("import", location("sqlite", tmp_path), tree).status == 0
    assert everything(open_store(location("sqlite", tmp_path))).count(b"Subject: ") == 4


def test_a_side_file_with_nonsense_says_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("a.eml", "A.EML", "b.eml"):
        (tree / name).write_bytes(b"Subject: %b\n\n" % name.encode())
    lines = [
        b"nonsense",
        b"[]",
        b"{" * 5000,
        b'{"file": "a.eml", "flags": "x", "date": "y", "uid": "z", "saved": []}',
        b'{"file": "b.eml", "flags": ["\\\\Seen", "no flag", 7], "date": 1e9, "uid": -3}',
        b'{"file": "b.e',
    ]
    (tree / "messages.jsonl").write_bytes(b"\n".join(lines))
    (tree / ".pillarbox-export.json").write_bytes(b'{"version": 1, "mailboxes": {"INBOX": {"uid_validity": "x"}}}')
    assert mailbox("import", location("sqlite", tmp_path), tree).status == 0
    with open_store(location("sqlite", tmp_path)).open(INBOX) as inbox:
        assert [(state.uid, state.flags) for state in inbox.messages] == [(1, 0), (2, 0), (3, SEEN)]
        assert inbox.internal_date(3) == 1e9


def garbled(tree: Path) -> Iterator[Path]:
    yield from (path for path in tree.rglob("*") if path.is_file() and path.name.startswith("."))


def test_an_export_whose_notes_are_gone_or_garbled_is_imported_all_the_same(tmp_path: Path) -> None:
    store = open_store(location("maildir", tmp_path))
    for number in range(3):
        store.append(INBOX, [b"Subject: %d\r\n\r\n" % number])
    for form in ("mbox", "eml"):
        out = tmp_path / f"out-{form}"
        assert mailbox("export", store.location, out, "--format", form).status == 0
        (notes,) = garbled(out)
        for content in (
            b"",
            b"[1, 2]",
            b'{"version": 1, "mailboxes": []}',
            b'{"version": 1, "notes": 5}',
            b"\xff" * 50,
        ):
            notes.write_bytes(content)
            target = tmp_path / f"{form}-{len(content)}.sqlite"
            assert mailbox("import", f"sqlite:{target}", out).status == 0
            assert len(texts(open_store(f"sqlite:{target}"))) == 3


TWO = b"Subject: %d\r\n\r\ntext\r\n"


def exported(tree: Path, about: dict[str, object], known: dict[str, object]) -> Path:
    """What `export --format eml` makes of two messages, with something else said of the first, and of the mailbox."""
    tree.mkdir()
    lines: list[dict[str, object]] = []
    for number in (1, 2):
        name = f"{number:010d}.eml"
        (tree / name).write_bytes(TWO % number)
        lines.append({"file": name, "uid": number, "flags": [], "date": 1e9})
    lines[0].update(about)
    (tree / "messages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    identity = {"uid_validity": 77, "uid_next": 10, "modseq": 5, "mailbox_id": "M77", **known}
    (tree / ".pillarbox-export.json").write_text(json.dumps({"version": 1, "mailboxes": {INBOX: identity}}))
    return tree


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
@pytest.mark.parametrize(
    "about",
    [
        {"uidl": "x :a\n7 :evil"},
        {"uidl": "a b"},
        {"uidl": "x" * 71},
        {"uidl": "ä"},
        {"uidl": "\ud800"},
        {"uidl": ["a"]},
        {"date": 1e300},
        {"date": float("nan")},
        {"date": 10**400},
        {"saved": float("inf")},
        {"saved": 1e300},
        {"saved": -5},
        {"flags": ["$a\n7 :evil", "\ud800", 1]},
    ],
    ids=lambda about: ascii(about)[:40],
)
def test_what_an_export_says_of_a_message_breaks_nothing(tmp_path: Path, kind: str, about: dict[str, object]) -> None:
    said = mailbox("import", location(kind, tmp_path), exported(tmp_path / "tree", about, {}))
    assert said.status == 0, said
    store = open_store(location(kind, tmp_path))
    assert texts(store) == [TWO % 1, TWO % 2]
    with store.open(INBOX) as opened:
        assert (opened.uid_validity, list(opened.messages.uids)) == (77, [1, 2])
        assert all(re.fullmatch(r"[!-~]{1,70}", opened.pop3_uidl(uid)) for uid in (1, 2))
        assert 0 <= opened.internal_date(1) < 1 << 34


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"mailbox_id": "x\r\n* BYE"}, True),
        ({"mailbox_id": "é"}, True),
        ({"uid_validity": 0xFFFFFFFE}, False),
        ({"uid_validity": 0}, False),
        ({"uid_next": 0xFFFFFFFE}, False),
        ({"modseq": (1 << 63) - 1}, False),
        ({"modseq": -1}, False),
    ],
    ids=ascii,
)
def test_a_mailbox_can_go_on_from_what_an_export_says_of_it(
    tmp_path: Path, kind: str, said: dict[str, object], kept: bool
) -> None:
    assert mailbox("import", location(kind, tmp_path), exported(tmp_path / "tree", {}, said)).status == 0
    store = open_store(location(kind, tmp_path))
    for name in ("One", "Two", "Three"):
        store.create(name)
        assert 0 < store.status(name).uid_validity < 1 << 32
    assert store.append(INBOX, [TWO % 3]).uid > 2 * kept
    with store.open(INBOX) as opened:
        assert (opened.uid_validity == 77) is kept
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", opened.mailbox_id)
        assert opened.highest_modseq < 1 << 62


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
def test_a_uidvalidity_after_which_none_is_left_is_not_taken_over(tmp_path: Path, kind: str) -> None:
    old = b"X-IMAPbase: 4294967294 0000000001\nX-UID: 1\n"
    (tmp_path / "old").write_bytes(FROM + old + SECRET)
    assert mailbox("import", location(kind, tmp_path), tmp_path / "old").status == 0
    store = open_store(location(kind, tmp_path))
    for name in ("One", "Two", "Three"):
        store.create(name)
        assert 0 < store.status(name).uid_validity < 1 << 32


TRAPS = [
    "%(D800)",
    "%0A",
    "%00",
    "a%2Fb",
    "a.b",
    "x" * 250,
    "%(1F4A9)",
    "\udcff",
    "&2AA-",
    "~",
    "INBOX",
    "inbox",
    "%(E000)",
]


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
@pytest.mark.parametrize("form", ["eml", "mbox"])
def test_names_of_every_kind_become_mailboxes(tmp_path: Path, kind: str, form: str) -> None:
    for number, name in enumerate(TRAPS):
        place = tmp_path / "tree" / (name if form == "eml" else f"d{number}")
        place.mkdir(parents=True)
        if form == "eml":
            (place / "1.eml").write_bytes(TWO % number)
        else:
            (place / name).write_bytes(FROM + b"Subject: %d\n\ntext\n" % number)
    said = mailbox("import", location(kind, tmp_path), tmp_path / "tree", "--format", form)
    assert said.status == 0, said
    found = everything(open_store(location(kind, tmp_path)))
    assert sorted(re.findall(rb"Subject: (\d+)", found), key=int) == [b"%d" % each for each in range(len(TRAPS))]


@pytest.mark.parametrize("form", ["eml", "mbox"])
def test_a_tree_without_end_is_told(tmp_path: Path, form: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "one").write_bytes(FROM + b"Subject: 1\n\n")
    (tmp_path / "tree" / "one.eml").write_bytes(b"Subject: 1\n\n")
    here = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(150):  # pytest could not remove more than Python can recurse
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    said = mailbox("import", location("sqlite", tmp_path), tmp_path / "tree", "--format", form)
    assert said.status == 0 and "it lies too deep" in said.err
    assert everything(open_store(location("sqlite", tmp_path))).count(b"Subject: 1") == 1
