"""postsuper: the administrator's hand in the queue."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands import postsuper
from pillarbox.lib.log import log
from pillarbox.lib.queue.listing import FORCED_EXPIRE, FORCED_RELEASE
from tests.commands.queued import put_message

pytestmark = pytest.mark.usefixtures("opens_files")


def where(instance: Path, queue_id: str) -> str:
    """The directory that holds a message, "" where none does."""
    for name in postsuper.NAMES:
        if (instance / "spool" / name / queue_id).exists():
            return name
    return ""


class Shell:
    def __init__(self, instance: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.instance = instance
        self._capsys = capsys

    def run(self, *arguments: str) -> list[str]:
        assert postsuper.main(["-c", f"{self.instance}/etc", *arguments]) == 0
        return self._capsys.readouterr().err.splitlines()

    def put(self, queue: str) -> str:
        return put_message(self.instance / "spool", queue)


@pytest.fixture
def shell(instance: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with log.capture():  # the log is this process's; it is restored afterwards
        yield Shell(instance, capsys)


@pytest.mark.parametrize("queue", ["hold", "incoming", "active", "deferred"])
def test_deleting(shell: Shell, queue: str) -> None:
    queue_id, other = shell.put(queue), shell.put(queue)
    log = shell.instance / "spool" / "defer" / queue_id
    log.write_text("")
    assert shell.run("-d", queue_id) == [f"postsuper: {queue_id}: removed", "postsuper: Deleted: 1 message"]
    assert where(shell.instance, queue_id) == ""
    assert where(shell.instance, other) == queue
    assert not log.exists()


def test_holding_and_releasing(shell: Shell) -> None:
    queue_id = shell.put("deferred")
    assert shell.run("-h", queue_id) == [
        f"postsuper: {queue_id}: placed on hold",
        "postsuper: Placed on hold: 1 message",
    ]
    assert where(shell.instance, queue_id) == "hold"
    assert shell.run("-H", queue_id)[-1] == "postsuper: Released from hold: 1 message"
    assert where(shell.instance, queue_id) == "deferred"


def test_a_message_that_waits_for_its_release_time_is_let_go(shell: Shell) -> None:
    now = time.time()
    waiting = put_message(shell.instance / "spool", "deferred", release=now + 1000)
    due = put_message(shell.instance / "spool", "deferred", release=now - 1)
    ordinary = shell.put("deferred")
    for queue_id in (waiting, due, ordinary):
        os.utime(shell.instance / "spool" / "deferred" / queue_id, (now + 1000, now + 1000))
    assert shell.run("-H", "ALL") == [
        f"postsuper: {waiting}: released from hold",
        "postsuper: Released from hold: 1 message",
    ]
    status = (shell.instance / "spool" / "deferred" / waiting).stat()
    assert status.st_mode & FORCED_RELEASE
    assert status.st_mtime == 0, "at once, whatever retry schedules say"
    assert (shell.instance / "spool" / "deferred" / ordinary).stat().st_mtime > now + 500
    assert shell.run("-H", waiting) == []


def test_all_of_one_queue(shell: Shell) -> None:
    held = [shell.put("deferred") for _ in range(3)]
    other = shell.put("incoming")
    assert shell.run("-h", "ALL", "deferred")[-1] == "postsuper: Placed on hold: 3 messages"
    assert {where(shell.instance, queue_id) for queue_id in held} == {"hold"}
    assert where(shell.instance, other) == "incoming"


def test_all_counts_each_message_once(shell: Shell) -> None:
    for name in ("incoming", "active", "deferred"):
        shell.put(name)
    assert shell.run("-r", "ALL")[-1] == "postsuper: Requeued: 3 messages"
    assert len(os.listdir(shell.instance / "spool" / "maildrop")) == 3


def test_ids_from_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [shell.put("deferred") for _ in range(3)]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ids[0]}\n\n{ids[2]}\n"))
    assert shell.run("-d", "-")[-1] == "postsuper: Deleted: 2 messages"
    assert where(shell.instance, ids[1]) == "deferred"


def test_force_expiring(shell: Shell) -> None:
    queue_id, held = shell.put("deferred"), shell.put("hold")
    assert shell.run("-e", queue_id, "-f", held)[-1] == "postsuper: Force-expired: 2 messages"
    for name in (queue_id, held):
        path = shell.instance / "spool" / "deferred" / name
        assert path.stat().st_mode & FORCED_EXPIRE
    assert shell.run("-e", queue_id) == []


def test_what_was_done_stands_in_the_mail_log(shell: Shell) -> None:
    queue_id = shell.put("deferred")
    shell.run("-d", queue_id)
    text = (shell.instance / "log" / "mail.log").read_text()
    assert f"pillarbox/postsuper[{os.getpid()}]: {queue_id}: removed\n" in text


def test_a_log_that_cannot_be_written_stops_nothing(shell: Shell) -> None:
    (shell.instance / "log").rmdir()
    queue_id = shell.put("deferred")
    lines = shell.run("-d", queue_id)
    assert lines[0].startswith("postsuper: warning: open ")
    assert where(shell.instance, queue_id) == ""


def test_unknown_and_bad_ids(shell: Shell) -> None:
    assert shell.run("-d", "4jXFYl6dnjzKD6m") == ["postsuper: Deleted: 0 messages"]
    assert shell.run("-d", "../x")[0] == "postsuper: warning: invalid mail queue id: ../x"
    assert shell.run("-d", "all")[0] == "postsuper: warning: invalid mail queue id: all"


def test_purging_litter(shell: Shell) -> None:
    spool = shell.instance / "spool"
    queue_id = shell.put("deferred")
    for path in (spool / "incoming" / ".1-1", spool / "defer" / "4jXFYl6dnjzKD6m", spool / "defer" / queue_id):
        path.write_text("")
        os.utime(path, (0, 0))
    (spool / "incoming" / ".1-2").write_text("")
    shell.run("-p")
    assert os.listdir(spool / "incoming") == [".1-2"]
    assert os.listdir(spool / "defer") == [queue_id]


def test_the_structure_check_names_strangers(shell: Shell) -> None:
    (shell.instance / "spool" / "deferred" / "stranger").write_text("")
    assert shell.run("-s") == ["postsuper: warning: bogus file name: deferred/stranger"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-d"], "option requires an argument"),
        (["-x"], "invalid option -- 'x'"),
        (["-d", "ALL", "nonsense"], "invalid directory name: nonsense"),
        (["-d", "-", "-h", "-"], "standard input can give the ids of one option only"),
    ],
)
def test_wrong_use(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert postsuper.main(arguments) == 64
    assert text in capsys.readouterr().err


def test_strangers_are_sent_away(
    instance: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = put_message(instance / "spool", "deferred")
    monkeypatch.setattr(os, "geteuid", lambda: 61234)
    assert postsuper.main(["-c", f"{instance}/etc", "-d", queue_id]) == 77
    assert "reserved for the superuser" in capsys.readouterr().err
    assert where(instance, queue_id) == "deferred"
