"""The delivery writers: what is promised when they say "stored"."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter, NoSuchFolder
from pillarbox.lib.store.mbox.quoting import FromQuoter, from_line
from pillarbox.lib.store.mbox.writer import MboxOptions, deliver_to_mbox
from tests.store.conftest import location
from tests.store.dying import dies_at

pytestmark = pytest.mark.usefixtures("opens_files")

HEADER = b"Delivered-To: a@example.com\n"


def source(path: Path, content: bytes) -> int:
    file = path / f"queue{len(content)}"
    file.write_bytes(content)
    return os.open(file, os.O_RDONLY)


@pytest.mark.parametrize("size", [0, 1, 4096, 131072, 131073, 1_000_000])
def test_maildir_content_is_copied_whole_with_its_sizes_in_the_name(tmp_path: Path, size: int) -> None:
    content = (b"line of text\n" * (size // 13 + 1))[:size]
    fd = source(tmp_path, content)
    assert MaildirWriter().deliver([MaildirDelivery(f"{tmp_path}/box", HEADER, fd, 0, size)]) == [None]
    (file,) = (tmp_path / "box" / "new").iterdir()
    data = file.read_bytes()
    assert data == HEADER + content
    lines = data.count(b"\n")
    assert f",S={len(data)},W={len(data) + lines}" in file.name
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "box" / "tmp").iterdir())


def test_one_failing_mailbox_does_not_harm_the_batch(tmp_path: Path) -> None:
    fd = source(tmp_path, b"text\n")
    (tmp_path / "file").write_text("")
    good, bad = (MaildirDelivery(f"{tmp_path}/{name}", HEADER, fd, 0, 5) for name in ("box", "file/box"))
    first, failure, last = MaildirWriter().deliver([good, bad, good])
    assert first is None and last is None
    assert failure is not None and failure.dsn == "4.2.0"
    assert len(list((tmp_path / "box" / "new").iterdir())) == 2


def test_a_full_disk_defers_with_the_code_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    fd = source(tmp_path, b"text\n")
    monkeypatch.setattr(os, "writev", full)
    (failure,) = MaildirWriter().deliver([MaildirDelivery(f"{tmp_path}/box", HEADER, fd, 0, 5)])
    assert failure is not None and failure.dsn == "4.3.1"
    assert not list((tmp_path / "box" / "tmp").iterdir())


def test_a_maildir_delivery_dying_anywhere_shows_whole_messages_only(tmp_path: Path) -> None:
    content = b"Subject: x\n\n" + b"body\n" * 100
    fd = source(tmp_path, content)
    for number in range(100):
        box = tmp_path / f"box{number}"
        ended = dies_at(
            number,
            lambda: MaildirWriter().deliver([MaildirDelivery(str(box), HEADER, fd, 0, len(content))] * 2),  # noqa: B023
        )
        found = [path.read_bytes() for path in (box / "new").iterdir()] if (box / "new").exists() else []
        assert all(data == HEADER + content for data in found)
        if ended:
            assert len(found) == 2
            return
    raise AssertionError("the delivery makes more calls than the test follows")


def _deliver_many(where: str, queue_file: str, count: int) -> None:
    fd = os.open(queue_file, os.O_RDONLY)
    size = os.fstat(fd).st_size
    kind, _, path = where.partition(":")
    for _ in range(count):
        if kind == "maildir":
            assert MaildirWriter().deliver([MaildirDelivery(path, HEADER, fd, 0, size)]) == [None]
        elif kind == "mbox":
            deliver_to_mbox(f"{path}/INBOX", "s@example.org", 1.0, HEADER, [os.pread(fd, size, 0)])
        else:
            open_store(where).append(INBOX, [HEADER, os.pread(fd, size, 0)])


def test_concurrent_deliveries_and_a_reader_lose_and_mix_nothing(kind: str, tmp_path: Path) -> None:
    content = b"Subject: x\n\n" + b"From the body\nmore\n" * 200
    os.close(source(tmp_path, content))
    where = location(kind, tmp_path / "mail")
    store = open_store(where)
    inbox = store.open(INBOX)
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_deliver_many, args=(where, f"{tmp_path}/queue{len(content)}", 20)) for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while any(writer.is_alive() for writer in writers):
        seen += [state.uid for state in inbox.refresh().new]
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    seen += [state.uid for state in inbox.refresh().new]
    assert seen == list(range(1, 61))
    expected = (HEADER + content).replace(b"\n", b"\r\n")
    for uid in seen:
        with inbox.read(uid) as message:
            text = message.read()
            assert (text.replace(b"\n>From ", b"\nFrom ") if kind == "mbox" else text) == expected
    inbox.close()
    store.close()


# --- folders and flags


def into(path: Path, **how: object) -> DeliveryFailure | None:
    fd = source(path, b"Subject: x\n\n")
    (failure,) = MaildirWriter().deliver([MaildirDelivery(f"{path}/box", HEADER, fd, 0, 12, **how)])  # type: ignore[arg-type]
    os.close(fd)
    return failure


@pytest.mark.parametrize("folder", ["Lists/python", "Lists.python", "Übung", "inbox/sub", "A&B"])
def test_a_folder_is_made_and_imap_finds_the_message_there(tmp_path: Path, folder: str) -> None:
    assert into(tmp_path, folder=folder, create=True) is None
    assert into(tmp_path, folder=folder) is None
    store = open_store(f"maildir:{tmp_path}/box")
    name = folder.replace(".", "/").replace("inbox", "INBOX")
    with store.open(name) as mailbox:
        assert [message.flags for message in mailbox.messages] == [0, 0]
    assert store.status(INBOX).messages == 0


@pytest.mark.parametrize("folder", ["", "INBOX", "inbox"])
def test_inbox_is_the_maildir_itself(tmp_path: Path, folder: str) -> None:
    assert into(tmp_path, folder=folder) is None
    assert len(list((tmp_path / "box" / "new").iterdir())) == 1


def test_without_create_a_missing_folder_is_told_and_not_made(tmp_path: Path) -> None:
    failure = into(tmp_path, folder="Lists")
    assert isinstance(failure, NoSuchFolder) and not failure.permanent
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize("folder", ["a//b", "..", "../../etc", "a\nb", "x" * 300, "/", "."])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, folder: str) -> None:
    failure = into(tmp_path, folder=folder, create=True)
    assert isinstance(failure, NoSuchFolder) and failure.permanent
    assert sorted(path.name for path in tmp_path.iterdir()) == ["queue12"]


def test_flags_and_keywords_are_there_when_the_message_appears(tmp_path: Path) -> None:
    flags = ("\\Seen", "\\FLAGGED", "$label", "work", "\\Recent", "two words", "line\nbreak", "")
    assert into(tmp_path, folder="Todo", create=True, flags=flags) is None
    with open_store(f"maildir:{tmp_path}/box").open("Todo") as mailbox:
        (message,) = mailbox.messages
        assert message.flags == SEEN | FLAGGED
        assert message.keywords == {"$label", "work"}


def test_flags_that_cannot_be_kept_leave_a_new_message(tmp_path: Path) -> None:
    assert into(tmp_path, flags=("\\Recent",)) is None
    assert len(list((tmp_path / "box" / "new").iterdir())) == 1


def test_a_delivery_into_a_new_folder_dying_anywhere_leaves_no_half_made_one(tmp_path: Path) -> None:
    fd = source(tmp_path, b"Subject: x\n\n")
    for number in range(200):
        box = tmp_path / f"box{number}"
        delivery = MaildirDelivery(str(box), HEADER, fd, 0, 12, None, "A/B", ("\\Seen", "k"), True)
        ended = dies_at(number, lambda: MaildirWriter().deliver([delivery]))  # noqa: B023
        folder = box / ".A.B"
        assert not folder.exists() or all((folder / name).is_dir() for name in ("tmp", "new", "cur"))
        store = open_store(f"maildir:{box}")
        if store.exists("A/B"):
            with store.open("A/B") as mailbox:
                assert all((each.flags, each.keywords) == (SEEN, {"k"}) for each in mailbox.messages)
                assert len(mailbox.messages) == 1 or not ended
        if ended:
            return
    raise AssertionError("the delivery makes more calls than the test follows")


# --- mbox


def test_an_mbox_message_has_its_separator_and_quoting(tmp_path: Path) -> None:
    path = tmp_path / "box"
    for _ in range(2):
        deliver_to_mbox(str(path), "", 0.0, HEADER, [b"A: b\n\nFro", b"m me\n>From you\nend"])
    text = path.read_bytes()
    one = from_line("", 0.0) + HEADER + b"A: b\n\n>From me\n>From you\nend\n\n"
    assert text == one * 2


@pytest.mark.parametrize("cut", range(1, 14))
def test_quoting_does_not_depend_on_how_the_stream_is_cut(cut: int) -> None:
    text = b"From a\nFrom b\nx From c\n\nFrom d\nFrom"
    quoter = FromQuoter()
    got = b"".join(quoter.feed(text[at : at + cut]) for at in range(0, len(text), cut)) + quoter.finish()
    assert got == b">From a\n>From b\nx From c\n\n>From d\nFrom"


def test_over_the_size_limit_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"x\n\n")
    with pytest.raises(DeliveryFailure) as caught:
        deliver_to_mbox(str(path), "", 0.0, HEADER, [b"y" * 1000], MboxOptions(size_limit=500))
    assert caught.value.dsn == "5.2.2"
    assert path.read_bytes() == b"x\n\n"


def test_an_error_in_the_middle_truncates_back(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"x\n\n")

    def content() -> object:
        yield b"begin\n"
        raise OSError(5, "Input/output error")

    with pytest.raises(DeliveryFailure) as caught:
        deliver_to_mbox(str(path), "", 0.0, HEADER, content())  # type: ignore[arg-type]
    assert caught.value.dsn == "4.3.0"
    assert path.read_bytes() == b"x\n\n"


def test_a_message_cut_off_by_a_crash_does_not_run_into_the_next(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"From a  Thu Jan  1 00:00:00 1970\nSubject: cut o")
    deliver_to_mbox(str(path), "b@example.org", 0.0, HEADER, [b"A: b\n\ntext\n"])
    assert b"cut o\n\nFrom b@example.org" in path.read_bytes()


@pytest.mark.parametrize("make", ["symlink", "hard link", "directory", "fifo"])
def test_what_is_not_a_plain_file_is_not_written(tmp_path: Path, make: str) -> None:
    path, victim = tmp_path / "box", tmp_path / "victim"
    victim.write_text("precious")
    if make == "symlink":
        path.symlink_to(victim)
    elif make == "hard link":
        path.hardlink_to(victim)
    elif make == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(DeliveryFailure) as caught:
        deliver_to_mbox(str(path), "", 0.0, HEADER, [b"text\n"])
    assert caught.value.dsn == "4.2.0"
    assert victim.read_text() == "precious"


def test_a_lock_file_of_another_host_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "box"
    (tmp_path / "box.lock").write_text("1:elsewhere\n")
    with pytest.raises(DeliveryFailure) as caught:
        deliver_to_mbox(str(path), "", 0.0, HEADER, [b"t\n"], MboxOptions(lock_timeout=0.05))
    assert caught.value.dsn == "4.2.0"
    assert not path.exists()


def test_a_lock_file_of_a_dead_process_is_broken(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    (tmp_path / "box.lock").write_text(f"{pid}:{os.uname().nodename}\n")
    deliver_to_mbox(f"{tmp_path}/box", "", 0.0, HEADER, [b"t\n"], MboxOptions(lock_timeout=20))
    assert not (tmp_path / "box.lock").exists()
