"""What goes wrong below a POP3 session: one message fails and the session lives; a kill at any moment loses nothing."""

from __future__ import annotations

import os
import poplib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.pop3d.session.session import Session
from tests.pop3.test_session import Pop, deliver, serving

KINDS = ("maildir", "mbox", "sqlite")


def letter(number: int) -> bytes:
    return b"Subject: %d\n\nbody of %d\n" % (number, number)


def place(kind: str, folder: Path) -> str:
    return f"{kind}:{folder}/mail" + (".sqlite" if kind == "sqlite" else "")


def removed(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(b"Subj")


def made_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def made_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("fault", [removed, cut, made_a_link, made_a_directory])
def test_a_message_file_that_is_damaged_under_a_session_fails_alone(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    location = place("maildir", tmp_path)
    deliver(location, *map(letter, (1, 2, 3)))
    with serving(open_store(location)) as client:
        pop = Pop(client)
        (victim,) = [
            path for path in (tmp_path / "mail").rglob("*") if path.is_file() and b"body of 2" in path.read_bytes()
        ]
        fault(victim)
        if fault is cut:
            pop.retr(2)  # what is there
        else:
            with pytest.raises(poplib.error_proto):
                pop.retr(2)
        for number in (1, 3):
            assert b"body of %d" % number in pop.retr(number)[1]
        assert len(pop.uidl()[1]) == 3
        pop.dele(1)
        assert pop.quit().startswith(b"+OK")


def made_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("fault", [made_a_link, made_a_directory, made_a_fifo])
def test_one_message_that_cannot_be_read_keeps_nobody_from_the_others(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    for number in (1, 2, 3):
        for part in ("cur", "new", "tmp"):
            (tmp_path / "mail" / part).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mail" / "cur" / f"170000000{number}.x:2,").write_bytes(letter(number))
    fault(tmp_path / "mail" / "cur" / "1700000002.x:2,")
    with serving(open_store(place("maildir", tmp_path))) as client:
        pop = Pop(client)
        assert pop.stat()[0] == 3
        with pytest.raises(poplib.error_proto):
            pop.retr(2)
        for number in (1, 3):
            assert b"body of %d" % number in pop.retr(number)[1]
        assert pop.quit().startswith(b"+OK")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk_is_told_at_quit_or_nothing_is_left_undone(tmp_path: Path) -> None:
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", folder], check=True)
        try:
            location = place(kind, folder)
            deliver(location, *map(letter, (1, 2, 3)))
            with serving(open_store(location)) as client:
                pop = Pop(client)
                with open(folder / "ballast", "wb", buffering=0) as fill:
                    try:
                        while True:
                            fill.write(b"\0" * 4096)
                    except OSError:
                        pass
                if kind != "mbox":  # one mbox message is read under the lock
                    assert b"body of 1" in pop.retr(1)[1]
                pop.dele(1)
                try:
                    done = pop.quit().startswith(b"+OK")
                except poplib.error_proto:
                    done = False
            (folder / "ballast").unlink()
            store = open_store(location)
            with store.open("INBOX") as inbox:
                assert len(inbox.messages) == (2 if done else 3), kind
            store.close()
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_killed_in_its_update_removes_no_more_than_it_was_told(tmp_path: Path, kind: str) -> None:
    location = place(kind, tmp_path)
    chance = random.Random(kind)
    number = 0
    for _ in range(25):
        store = open_store(location)
        with store.open("INBOX") as inbox:
            have = len(inbox.messages)
        for _ in range(have, 12):
            number += 1
            store.append("INBOX", [letter(number)])
        before = _numbers(location)
        store.close()
        doomed = sorted(chance.sample(range(1, 13), 6))
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                Session(theirs, "ann", timeout=20.0).run(open_store(location))
            finally:
                os._exit(0)
        theirs.close()
        with ours:
            ours.settimeout(20)
            ours.recv(4096)
            ours.sendall(b"".join(b"DELE %d\r\n" % each for each in doomed) + b"QUIT\r\n")
            time.sleep(chance.random() ** 2 * 0.04)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        after = _numbers(location)
        kept = [each for position, each in enumerate(before, 1) if position not in doomed]
        assert sorted(set(after)) == after, "a message is there twice"
        assert set(kept) <= set(after) <= set(before)


def _numbers(location: str) -> list[int]:
    store = open_store(location)
    found = []
    with store.open("INBOX") as inbox:
        for uid in inbox.messages.uids:
            with inbox.read(uid) as content:
                found.append(int(content.read().split(b"body of ")[1]))
    store.close()
    return found
